// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import { join } from "node:path";
import { Registry } from "prom-client";
import { addEnrollmentService } from "../../src/api/enrollment-service.js";
import { issueForController } from "../../src/identity/authority-folder.js";
import type { AuthorityFileNames } from "../../src/lib/authority-files.js";
import { systemClock } from "../../src/lib/clock.js";
import { silentLog } from "../../src/lib/log.js";
import { TlsFiles } from "../../src/lib/tls-files.js";
import { ruleOf } from "../../src/policy/method-rules.js";
import { NOBODY } from "../../src/rpc/caller.js";
import { GrpcServer } from "../../src/rpc/grpc-server.js";
import { UnaryHandlers } from "../../src/rpc/unary-handler.js";
import { createControllerMetrics } from "../../src/telemetry/controller-metrics.js";
import { callersAre } from "./callers.js";
import { DEFAULT_GATE } from "./default-gate.js";
import type { EnrollmentStage } from "./enrollment.js";

/** A controller's API as far as hosts that enrol see it: over TLS, and with nobody as a caller. */
export class EnrollmentDoor {
  /** How often it was asked for a certificate. */
  calls = 0;
  readonly #server: GrpcServer;
  readonly #files: TlsFiles;

  constructor({ enrolling }: Pick<EnrollmentStage, "enrolling">, files: AuthorityFileNames, port = 0) {
    const log = silentLog;
    const metrics = createControllerMetrics(new Registry());
    const handlers = new UnaryHandlers({ callers: callersAre(NOBODY), guardOf: DEFAULT_GATE.guardOf, log, metrics });
    this.#files = new TlsFiles({ name: "api", files, metrics, log, clock: systemClock });
    const hosts = {
      enroll: (...asked: Parameters<typeof enrolling.enroll>) => ((this.calls += 1), enrolling.enroll(...asked)),
      renew: (...asked: Parameters<typeof enrolling.renew>) => ((this.calls += 1), enrolling.renew(...asked)),
    };
    const addServices = (server: Server): void => addEnrollmentService(server, handlers, hosts);
    const listen = { host: "127.0.0.1", port };
    const tls = { files: this.#files, log };
    this.#server = new GrpcServer({ name: "api", listen, tls, addServices, requireRule: ruleOf, log });
  }

  /** With a certificate of the stage's authority, for this machine unless other names are given; not started. */
  static async of(stage: EnrollmentStage, names = ["127.0.0.1", "localhost"], port = 0): Promise<EnrollmentDoor> {
    const out = join(stage.folder, `controller-${(doors += 1)}`);
    return new EnrollmentDoor(stage, await issueForController({ authority: stage.folder, out, names, days: 1 }), port);
  }

  get port(): number {
    return this.#server.port;
  }

  async start(): Promise<void> {
    this.#files.start();
    await this.#server.start();
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    await this.#files.stop();
  }
}

let doors = 0;
