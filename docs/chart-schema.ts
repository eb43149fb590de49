// SPDX-License-Identifier: Apache-2.0
// What the Helm chart can be told. The settings of the programs are in it as they are, so that helm refuses a name that
// the program would refuse; what a schema cannot say is left to the program's own check at its start.
import { z } from "zod";
import { agentSchema } from "../agent/agent-config.js";
import { controllerSchema } from "../src/config/controller-config.js";

const image = z.strictObject({
  repository: z.string().min(1).describe("The image, without its tag."),
  tag: z.string().default("").describe("Its tag; empty = the chart's appVersion."),
  pullPolicy: z.enum(["Always", "IfNotPresent", "Never"]).default("IfNotPresent"),
});

const resources = z.looseObject({}).describe("Requests and limits of the container, as Kubernetes takes them.");

/** The values of packaging/helm/spicegate. */
export const chartSchema = z.strictObject({
  controller: z.strictObject({
    image,
    replicas: z.int().min(1).describe("How many controllers; two or more, so that one may go."),
    resources,
    databaseSecret: z
      .string()
      .min(1)
      .describe("A Secret whose key `password` is the database password, and `ca.crt` the CA of the database server."),
    certificateSecret: z
      .string()
      .min(1)
      .describe("A Secret of type kubernetes.io/tls: the certificate of the address that browsers open."),
    authoritySecret: z
      .string()
      .min(1)
      .describe(
        "A Secret with `ca.pem` and `ca.key` of `spicegate ca init`: what hosts and each pod's certificate come from.",
      ),
    service: z.strictObject({
      type: z.enum(["ClusterIP", "LoadBalancer", "NodePort"]).describe("How browsers reach the console proxy."),
    }),
    config: controllerSchema.describe("The controller's settings; docs/settings.md has all of them."),
  }),
  agent: z.strictObject({
    enabled: z.boolean().describe("Whether agents run in this cluster, one on each node that nodeSelector finds."),
    image,
    resources,
    nodeSelector: z.record(z.string(), z.string()).describe("The nodes that are hypervisor hosts."),
    libvirtGroup: z.int().min(1).describe("The number of the group libvirt on the hosts: getent group libvirt."),
    config: agentSchema.describe("The agents' settings; docs/settings.md has all of them."),
  }),
  networkPolicy: z.strictObject({
    enabled: z.boolean().describe("Whether only what is needed may connect, where the network plugin enforces it."),
    database: z.strictObject({
      cidr: z.cidrv4().describe("The addresses of the database."),
      port: z.int().min(1).max(65_535).describe("Its port."),
    }),
  }),
});
