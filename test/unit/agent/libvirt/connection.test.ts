// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ifSupported, LibvirtError } from "../../../../agent/libvirt/connection.js";
import { VIR_ERR_ACCESS_DENIED, VIR_ERR_NO_SUPPORT, VIR_ERR_RPC } from "../../../../agent/libvirt/native.js";

describe("ifSupported", () => {
  const failing = (code: number) => (): string => {
    throw new LibvirtError({ code, message: "no", lost: false });
  };

  it("does without a call that the driver lacks or that libvirt's access rules forbid", () => {
    expect(ifSupported(failing(VIR_ERR_NO_SUPPORT), "without")).to.equal("without");
    expect(ifSupported(failing(VIR_ERR_ACCESS_DENIED), "without")).to.equal("without");
    expect(ifSupported(() => "with", "without")).to.equal("with");
  });

  it("passes every other failure on", () => {
    expect(() => ifSupported(failing(VIR_ERR_RPC), "without")).to.throw(LibvirtError);
  });
});
