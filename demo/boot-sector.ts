// SPDX-License-Identifier: Apache-2.0

// What a demo machine runs: the 512 bytes that a PC's BIOS loads from the start of a disk. They say whose console this
// is and echo what is typed, so that a console has something to show and to type into. The machine code is written by
// hand, with just enough of an assembler to name the places it jumps to.

const SECTOR_BYTES = 512;
/** Where a BIOS loads the sector: every address inside it counts from here. */
const ORIGIN = 0x7c00;
const MAX_NAME = 64;

/** A byte, a short jump's distance to a label, or a label's address. */
type Item = number | { readonly jump: string } | { readonly address: string };
/** A text alone is a label: the place of what follows. */
type Line = string | readonly Item[];

const PROGRAM: readonly Line[] = [
  [0xfc], //                          cld
  [0x31, 0xc0], //                    xor ax, ax
  [0x8e, 0xd8], //                    mov ds, ax
  [0xb8, 0x03, 0x00], //              mov ax, 0003h     text of 80 by 25; also clears the screen
  [0xcd, 0x10], //                    int 10h
  [0xb8, 0x00, 0x06], //              mov ax, 0600h     white on blue, everywhere: nobody takes it for the BIOS,
  [0xb7, 0x1f], //                    mov bh, 1fh       neither people nor tests
  [0x31, 0xc9], //                    xor cx, cx
  [0xba, 0x4f, 0x18], //              mov dx, 184fh
  [0xcd, 0x10], //                    int 10h
  [0xb4, 0x01], //                    mov ah, 01h       hide the cursor: its blinking would change the
  [0xb9, 0x00, 0x20], //              mov cx, 2000h     picture although nothing happens
  [0xcd, 0x10], //                    int 10h
  [0xbb, 0x07, 0x00], //              mov bx, 0007h     page 0, grey
  [0xbe, { address: "banner" }], //   mov si, banner
  "print",
  [0xac], //                          lodsb
  [0x84, 0xc0], //                    test al, al
  [0x74, { jump: "key" }], //         jz key
  [0xb4, 0x0e], //                    mov ah, 0eh       print one character
  [0xcd, 0x10], //                    int 10h
  [0xeb, { jump: "print" }], //       jmp print
  "key",
  [0xb4, 0x00], //                    mov ah, 00h       wait for a key; the processor sleeps meanwhile
  [0xcd, 0x16], //                    int 16h
  [0x84, 0xc0], //                    test al, al
  [0x74, { jump: "key" }], //         jz key            an arrow or the like
  [0x3c, 0x08], //                    cmp al, 8
  [0x74, { jump: "erase" }], //       je erase
  [0xb4, 0x0e], //                    mov ah, 0eh
  [0xcd, 0x10], //                    int 10h
  [0x3c, 0x0d], //                    cmp al, 13
  [0x75, { jump: "key" }], //         jne key
  [0xb8, 0x0a, 0x0e], //              mov ax, 0e0ah     a new line after Enter
  [0xcd, 0x10], //                    int 10h
  [0xeb, { jump: "key" }], //         jmp key
  "erase",
  [0xb8, 0x08, 0x0e, 0xcd, 0x10], //  mov ax, 0e08h; int 10h    back,
  [0xb8, 0x20, 0x0e, 0xcd, 0x10], //  mov ax, 0e20h; int 10h    over it with a space,
  [0xb8, 0x08, 0x0e, 0xcd, 0x10], //  mov ax, 0e08h; int 10h    and back again
  [0xeb, { jump: "key" }], //         jmp key
  "banner",
];

/** The text that a machine of this name shows first, as lines. */
export function bannerLines(name: string): readonly string[] {
  return [`spicegate demo machine: ${printable(name)}`, "", "What you type appears here.", ""];
}

/** A disk of one sector that shows the banner of `name` and echoes keys. It boots as an IDE disk, not as a floppy. */
export function bootSector(name: string): Buffer {
  const banner = Buffer.from(`${bannerLines(name).join("\r\n")}\r\n\0`, "latin1");
  const code = Buffer.from(assemble([...PROGRAM, [...banner]]));
  if (code.length > SECTOR_BYTES - 2) throw new Error("the boot sector is too long");
  const sector = Buffer.alloc(SECTOR_BYTES);
  code.copy(sector);
  // By these two bytes a BIOS knows that a disk can be booted.
  sector.writeUInt16BE(0x55aa, SECTOR_BYTES - 2);
  return sector;
}

/** The BIOS prints bytes, and some of them are commands to it: what is not plain ASCII becomes a question mark. */
function printable(name: string): string {
  return name.slice(0, MAX_NAME).replace(/[^ -~]/gu, "?");
}

function assemble(lines: readonly Line[]): number[] {
  const labels = new Map<string, number>();
  let size = 0;
  for (const line of lines) {
    if (typeof line === "string") labels.set(line, size);
    else size += line.reduce<number>((sum, item) => sum + sizeOf(item), 0);
  }
  const code: number[] = [];
  for (const item of lines.filter((line) => typeof line !== "string").flat()) {
    code.push(...encode(item, labels, code.length));
  }
  return code;
}

function sizeOf(item: Item): number {
  return typeof item === "object" && "address" in item ? 2 : 1;
}

function encode(item: Item, labels: ReadonlyMap<string, number>, at: number): number[] {
  if (typeof item === "number") return [item];
  if ("address" in item) {
    const address = ORIGIN + place(labels, item.address);
    return [address & 0xff, address >> 8];
  }
  // A jump counts from the byte after its distance.
  const distance = place(labels, item.jump) - (at + 1);
  if (distance < -128 || distance > 127) throw new Error(`${item.jump} is too far for a short jump`);
  return [distance & 0xff];
}

function place(labels: ReadonlyMap<string, number>, name: string): number {
  const found = labels.get(name);
  if (found === undefined) throw new Error(`the boot sector has no label ${name}`);
  return found;
}
