// SPDX-License-Identifier: Apache-2.0

/** Settings as a file has them: sections within sections, not yet checked. */
export type SettingsTree = Record<string, unknown>;

/** Whether a value is a section. */
export function isTree(value: unknown): value is SettingsTree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value of a dotted name; undefined where there is none. */
export function valueAt(tree: unknown, name: string): unknown {
  return name.split(".").reduce<unknown>((node, key) => (isTree(node) ? node[key] : undefined), tree);
}

/** Writes a value under a dotted name; sections on the way are made, other values there are replaced. */
export function setAt(tree: SettingsTree, name: string, value: unknown): void {
  const [key = "", ...rest] = name.split(".");
  if (rest.length === 0) {
    tree[key] = value;
    return;
  }
  const child = tree[key];
  const next: SettingsTree = isTree(child) ? child : {};
  tree[key] = next;
  setAt(next, rest.join("."), value);
}

/** Takes the value of a dotted name out; undefined where there is none. A section that becomes empty goes as well. */
export function takeAt(tree: SettingsTree, name: string): unknown {
  const [key = "", ...rest] = name.split(".");
  const child = tree[key];
  if (rest.length === 0) {
    Reflect.deleteProperty(tree, key);
    return child;
  }
  if (!isTree(child)) return undefined;
  const value = takeAt(child, rest.join("."));
  if (Object.keys(child).length === 0) Reflect.deleteProperty(tree, key);
  return value;
}
