// SPDX-License-Identifier: Apache-2.0
// Random input that gets past the first check: what is right, spoilt a little, and pieces of the language in any order.
import fc from "fast-check";

type Edit = (bytes: Buffer) => Buffer;

const edit: fc.Arbitrary<Edit> = fc
  .record({
    kind: fc.constantFrom("flip", "drop", "insert", "cut", "repeat", "number"),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.nat({ max: 40 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
    number: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
  })
  .map(({ kind, at, length, bytes, number }): Edit => {
    return (input) => {
      const start = Math.floor(at * input.length);
      const [before, hit, after] = [input.subarray(0, start), input.subarray(start, start + length), start + length];
      switch (kind) {
        case "flip":
          return Buffer.concat([before, bytes, input.subarray(start + bytes.length)]);
        case "drop":
          return Buffer.concat([before, input.subarray(after)]);
        case "insert":
          return Buffer.concat([before, bytes, input.subarray(start)]);
        case "cut":
          return before;
        case "repeat":
          return Buffer.concat([before, ...Array<Buffer>(length).fill(hit), input.subarray(start)]);
        case "number": {
          const word = Buffer.alloc(4);
          word.writeUInt32LE(number);
          return Buffer.concat([before, word, input.subarray(start + 4)]);
        }
      }
    };
  });

/** The bytes, as they are or after a few accidents. */
export function spoilt(bytes: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Buffer> {
  return fc
    .tuple(bytes, fc.array(edit, { maxLength: 6 }))
    .map(([input, edits]) => edits.reduce<Buffer>((whole, change) => change(whole), Buffer.from(input)));
}

/** The text, likewise. */
export function spoiltText(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return spoilt(text.map((whole) => Buffer.from(whole))).map((bytes) => bytes.toString());
}

/** Words of a language with anything between them, in any order. */
export function wordSalad(words: readonly string[], maxLength = 40): fc.Arbitrary<string> {
  const word = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...words) }, fc.string({ maxLength: 12 }));
  return fc.array(word, { maxLength }).map((all) => all.join(""));
}

/** A random one of them, now and then a random text: many of these together are still right quite often. */
export function mostly(...words: readonly string[]): fc.Arbitrary<string> {
  const anything = fc.oneof(fc.string(), fc.string({ unit: "binary" }));
  return fc.oneof({ weight: 15, arbitrary: fc.constantFrom(...words) }, anything);
}

/** What is there always, and, in one of four, something of what is seldom there. */
export function withOddities<T extends object, O extends object>(
  always: fc.Arbitrary<T>,
  odd: fc.Arbitrary<O>,
): fc.Arbitrary<T & Partial<O>> {
  const nothing: fc.Arbitrary<Partial<O>> = fc.constant({});
  return fc
    .tuple(always, fc.oneof({ weight: 3, arbitrary: nothing }, odd))
    .map(([usual, unusual]) => ({ ...usual, ...unusual }));
}
