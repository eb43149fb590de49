// SPDX-License-Identifier: Apache-2.0
// What real servers do is in the tests of MemcachedStore; these are other programs at a server's address, or hostile ones.
import { expect } from "chai";
import { once } from "node:events";
import type { AddressInfo, Server } from "node:net";
import { createServer } from "node:net";
import { MemcachedServers } from "../../../src/consoleauth/memcached-servers.js";
import { MAX_MEMCACHED_VALUE_BYTES } from "../../../src/lib/limits.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { rejectionOf } from "../../harness/rejection.js";

const KEY = "k";

describe("MemcachedServers", () => {
  const listening: Server[] = [];
  let servers: MemcachedServers;

  /** A server that says this to whatever it is asked. */
  async function serve(answer: string): Promise<MemcachedServers> {
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.on("data", () => socket.write(answer));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    listening.push(server);
    return (servers = new MemcachedServers([`127.0.0.1:${(server.address() as AddressInfo).port}`]));
  }

  afterEach(() => {
    servers.close();
    for (const server of listening.splice(0)) server.close();
  });

  const nonsense = {
    "a web server": "HTTP/1.1 400 Bad Request\r\n\r\n",
    "a length below zero": `VALUE ${KEY} 0 -5 1\r\nEND\r\n`,
    "a length that is no number": `VALUE ${KEY} 0 x 1\r\n`,
    "a length beyond all memory": `VALUE ${KEY} 0 99999999999 1\r\n`,
    "a value larger than memcached's": `VALUE ${KEY} 0 ${MAX_MEMCACHED_VALUE_BYTES + 1} 1\r\n`,
    "a line without its words": "VALUE\r\n",
    "a name of JavaScript's": "constructor\r\n",
  };
  for (const [what, answer] of Object.entries(nonsense)) {
    it(`survives ${what}, waits no longer, and asks again on another connection`, async () => {
      await serve(answer);
      for (const attempt of [1, 2]) {
        const error = await rejectionOf(servers.get(KEY));
        expect(reasonOf(error), `${attempt}`).to.equal("LEGACY_STORE_UNAVAILABLE");
        expect(error)
          .to.have.nested.property("cause.message")
          .that.does.not.match(/timeout/i);
      }
    });
  }

  it("survives an answer that nobody has asked for", async () => {
    await serve(`END\r\nVALUE ${KEY} 0 1 1\r\na\r\nEND\r\n`);
    expect(await servers.get(KEY)).to.equal(undefined);
    expect(await servers.get(KEY)).to.equal(undefined);
  });

  for (const [flags, value] of [
    [2, "{}"],
    [4, "12"],
    [8, "xy"],
  ] as const) {
    it(`takes what other programs have kept with flags ${flags} for an empty text that can be replaced`, async () => {
      await serve(`VALUE ${KEY} ${flags} 2 7\r\n${value}\r\nEND\r\n`);
      expect(await servers.get(KEY)).to.deep.equal({ text: "", version: "7" });
    });
  }
});
