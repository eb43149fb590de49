// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { parse, parseAllDocuments } from "yaml";
import { agentSchema, loadAgentConfig } from "../../../agent/agent-config.js";
import { PROJECT_FOLDER } from "../../../demo/spicegate-programs.js";
import { chartSchema } from "../../../docs/chart-schema.js";
import { controllerSchema, loadControllerConfig } from "../../../src/config/controller-config.js";
import { listSettings } from "../../../src/config/load-config.js";
import { STOP_TOTAL_MS } from "../../../src/lib/limits.js";

interface Container {
  readonly name: string;
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts: readonly { readonly name: string; readonly subPath?: string }[];
  readonly securityContext: { readonly readOnlyRootFilesystem: boolean };
}

interface Pod {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly terminationGracePeriodSeconds?: number;
    readonly containers: readonly [Container];
    readonly volumes: readonly { readonly name: string; readonly configMap?: { readonly name: string } }[];
  };
}

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly template?: Pod;
    readonly selector?: Readonly<Record<string, string>> | { readonly matchLabels: Readonly<Record<string, string>> };
    readonly ports?: readonly { readonly targetPort: string }[];
  };
}

const read = (file: string): string => readFileSync(join(PROJECT_FOLDER, "packaging", file), "utf8");
const chartFiles = readdirSync(join(PROJECT_FOLDER, "packaging/helm/spicegate/templates"));
const templates = chartFiles
  .filter((name) => name.endsWith(".yaml"))
  .map((name) => read(`helm/spicegate/templates/${name}`));
const text = read("kubernetes/spicegate.yaml");
const manifests = parseAllDocuments(text).map((document) => document.toJS() as Manifest);
const pods = manifests.flatMap(({ spec }) => spec?.template ?? []);

/** The one object of a kind with a name. */
function manifest(kind: string, name: string): Manifest {
  const found = manifests.find((candidate) => candidate.kind === kind && candidate.metadata.name === name);
  if (!found) throw new Error(`there is no ${kind} ${name}`);
  return found;
}

/** What the compiler says to objects that claim to be what their kind says. */
function complaintsAbout(objects: readonly Manifest[]): string[] {
  const lines = objects.map((object, index) => {
    const types = `kubernetes-types/${object.apiVersion.replace(/\.k8s\.io\b/, "").replace(/^v1$/, "core/v1")}`;
    return `export const object${index}: import("${types}").${object.kind} = ${JSON.stringify(object)};`;
  });
  const file = join(PROJECT_FOLDER, "manifests.ts");
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    lib: ["lib.es5.d.ts"],
    moduleResolution: ts.ModuleResolutionKind.Node10,
  };
  const host = ts.createCompilerHost(options);
  const onDisk = { ...host };
  host.fileExists = (name) => name === file || onDisk.fileExists(name);
  host.getSourceFile = (name, version, ...rest) =>
    name === file ? ts.createSourceFile(name, lines.join("\n"), version) : onDisk.getSourceFile(name, version, ...rest);
  const program = ts.createProgram([file], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}

/** Lines as they are compared: without comments, empty ones and indentation, which a template may add. */
function plainLines(yaml: string): string[] {
  return yaml.split("\n").flatMap((line) => (/^\s*(#.*)?$/.test(line) ? [] : [line.trim()]));
}

describe("packaging/kubernetes", function () {
  this.timeout(30_000);

  it("has objects as Kubernetes defines them, without a name that it does not know", () => {
    const typo = JSON.parse(JSON.stringify(manifests).replace('"readinessProbe"', '"readynessProbe"')) as Manifest[];
    const complaints = complaintsAbout([...manifests, ...typo]);
    expect(complaints, complaints.join("\n")).to.have.length(1);
    expect(complaints[0]).to.include("readynessProbe");
  });

  it("has services, budgets and policies that find their pods, and ports that these have", () => {
    const names = pods.flatMap(({ spec }) => spec.containers[0].ports ?? []).map(({ name }) => name);
    for (const { kind, metadata, spec } of manifests) {
      for (const { targetPort } of spec?.ports ?? []) expect(names, metadata.name).to.include(targetPort);
      const { selector } = spec ?? {};
      if (!selector || kind === "NetworkPolicy") continue;
      const labels = "matchLabels" in selector ? Object.entries(selector.matchLabels) : Object.entries(selector);
      const matches = (pod: Pod): boolean => labels.every(([key, value]) => pod.metadata.labels[key] === value);
      expect(pods.filter(matches), `${kind} ${metadata.name}`).to.have.length(1);
    }
  });

  it("mounts only volumes that are there, of settings that are there", () => {
    for (const { spec } of pods) {
      const volumes = spec.volumes.map(({ name }) => name);
      expect(volumes).to.have.members(spec.containers[0].volumeMounts.map(({ name }) => name));
      for (const { configMap } of spec.volumes) if (configMap) manifest("ConfigMap", configMap.name);
    }
  });

  it("gives the programs settings that they take, and only names of settings", () => {
    const { data: controller = {} } = manifest("ConfigMap", "spicegate-controller");
    const { data: agent = {} } = manifest("ConfigMap", "spicegate-agent");
    const env = (tree: unknown): Record<string, string> => {
      const names = [...listSettings(controllerSchema), ...listSettings(agentSchema)];
      const given = names.flatMap(({ name, env: variable }) => {
        const value = name
          .split(".")
          .reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], tree);
        return value === undefined ? [] : [[variable, typeof value === "string" ? value : JSON.stringify(value)]];
      });
      return Object.fromEntries(given) as Record<string, string>;
    };
    loadControllerConfig({ env: env(parse(controller["controller.yaml"] ?? "")) });
    loadAgentConfig({ env: env(parse(agent["agent.yaml"] ?? "")) });
    const known = [...listSettings(controllerSchema), ...listSettings(agentSchema)].map((setting) => setting.env);
    const named = pods.flatMap(({ spec }) => spec.containers[0].env).map(({ name }) => name);
    expect(known).to.include.members(named.filter((name) => name.startsWith("SPICEGATE_")));
  });

  it("says of each listener of a controller where it will be", () => {
    const listeners = listSettings(controllerSchema).filter(({ name }) =>
      /^(api|agents|proxy|telemetry)\..*listen$/.test(name),
    );
    expect(listeners).to.have.length(5);
    for (const { env } of listeners) expect(text).to.match(new RegExp(`${env}, value: "0\\.0\\.0\\.0:\\d+"`));
  });

  it("gives a controller longer to stop than it takes, the balancer's time included", () => {
    const { spec } = manifest("Deployment", "spicegate-controller").spec?.template ?? {};
    const [, sleep] = /command: \[sleep, "(\d+)"\]/.exec(text) ?? [];
    expect(spec?.terminationGracePeriodSeconds).to.be.above(Number(sleep) + STOP_TOTAL_MS / 1_000);
  });
});

describe("packaging/helm", () => {
  const values = parse(read("helm/spicegate/values.yaml")) as unknown;

  it("comes with values that its schema takes", () => {
    expect(chartSchema.safeParse(values).error).to.equal(undefined);
  });

  it("asks only for values that it comes with", () => {
    const asked = [...templates, read("helm/spicegate/templates/NOTES.txt")]
      .flatMap((template) => [...template.matchAll(/\.Values\.([\w.]+)/g)])
      .map(([, path = ""]) => path);
    expect(asked).to.have.length.above(20);
    for (const path of asked) expect(values).to.have.nested.property(path);
  });

  it("is of the package's version", () => {
    const { version } = JSON.parse(readFileSync(join(PROJECT_FOLDER, "package.json"), "utf8")) as { version: string };
    expect(parse(read("helm/spicegate/Chart.yaml"))).to.include({ version, appVersion: version });
  });

  it("has each of its plain lines, in their order, in what it is said to render", () => {
    const objects = templates.flatMap((template) => template.split(/^---$/m));
    const rendered = text.split(/^---$/m).map(plainLines);
    for (const object of objects) {
      const expected = plainLines(object).filter((line) => !line.includes("{{"));
      const found = rendered.some((lines) => isSubsequence(expected, lines));
      expect(found, object).to.equal(true);
    }
    expect(rendered.filter((lines) => lines.length > 0)).to.have.length(objects.length);
  });
});

function isSubsequence(part: readonly string[], whole: readonly string[]): boolean {
  let at = 0;
  for (const line of whole) if (line === part[at]) at += 1;
  return at === part.length;
}
