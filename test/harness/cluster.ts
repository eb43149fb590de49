// SPDX-License-Identifier: Apache-2.0
// Several controllers on one database, each a deployment with ports, settings and a log of its own; agents that are
// connected to all of them; and a balancer in front of their proxies and one in front of their APIs.
import type { ChildProgram } from "../../demo/child-program.js";
import { freePort } from "../../demo/ports.js";
import type { BalancerOrder } from "./balancer.js";
import { Balancer } from "./balancer.js";
import type { Settings } from "./deployment.js";
import { Deployment, withSettings } from "./deployment.js";
import { createDatabase } from "./test-database.js";

/** What a cluster is made from. */
export interface ClusterOptions {
  readonly controllers: number;
  /** The libvirt URI of each host, by its name. */
  readonly hosts?: Readonly<Record<string, string>>;
  /** For every controller. */
  readonly controller?: Settings;
  /** For every agent. */
  readonly agent?: Settings;
  /** How the balancers choose; each in its turn unless set. */
  readonly order?: BalancerOrder;
}

/** Controllers, agents and balancers that run. */
export class Cluster {
  /** The controllers; the agents belong to the first. */
  readonly controllers: readonly Deployment[];
  /** In front of the proxies; the URLs of consoles lead here. */
  readonly proxy: Balancer;
  /** In front of the gRPC APIs. */
  readonly api: Balancer;
  readonly #agents = new Map<string, ChildProgram>();

  private constructor(controllers: readonly Deployment[], proxy: Balancer, api: Balancer) {
    this.controllers = controllers;
    this.proxy = proxy;
    this.api = api;
  }

  /** Starts everything; returns when all controllers and all agents are ready. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const [proxy, api] = [await Balancer.create(options.order), await Balancer.create(options.order)];
    const databaseUrl = await createDatabase();
    const url = { spice: { html5proxy_base_url: `http://${proxy.address}/console` } };
    const controller = withSettings(url, options.controller ?? {});
    const controllers: Deployment[] = [];
    while (controllers.length < options.controllers) {
      controllers.push(await Deployment.create({ databaseUrl, controller }));
    }
    const cluster = new Cluster(controllers, proxy, api);
    try {
      await cluster.#start(options);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** The controller with this number, from 0. */
  at(number: number): Deployment {
    const controller = this.controllers[number];
    if (!controller) throw new Error(`there is no controller ${number}`);
    return controller;
  }

  /** The agent of a host. */
  agentOf(host: string): ChildProgram {
    const agent = this.#agents.get(host);
    if (!agent) throw new Error(`there is no agent of ${host}`);
    return agent;
  }

  /** Waits until every controller answers that it knows the instance. */
  async knows(instanceUuid: string): Promise<void> {
    await Promise.all(this.controllers.map((controller) => controller.knows(instanceUuid)));
  }

  /** Stops everything; fails where a secret stands in a log or in the database. Twice is harmless. */
  async stop(): Promise<void> {
    await Promise.all([this.proxy.stop(), this.api.stop()]);
    for (const agent of this.#agents.values()) await agent.stop();
    const stops = await Promise.allSettled(this.controllers.map((controller) => controller.stop()));
    for (const stop of stops) if (stop.status === "rejected") throw stop.reason;
  }

  async #start({ hosts = {}, agent = {} }: ClusterOptions): Promise<void> {
    const { controllers } = this;
    await Promise.all(controllers.map(({ controller }) => controller.start()));
    const streams = { agent: { controllers: controllers.map(({ agents }) => agents) } };
    for (const [host, uri] of Object.entries(hosts)) {
      const telemetry = `127.0.0.1:${await freePort()}`;
      const program = this.at(0).addAgent(host, uri, telemetry, withSettings(streams, agent));
      this.#agents.set(host, program);
    }
    await Promise.all([...this.#agents.values()].map((program) => program.start()));
    await this.proxy.start(controllers.map(({ proxy, telemetry }) => ({ address: proxy, telemetry })));
    await this.api.start(controllers.map(({ api, telemetry }) => ({ address: api, telemetry })));
  }
}
