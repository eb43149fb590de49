// SPDX-License-Identifier: Apache-2.0
import { formatAddress, parseAddress } from "../lib/listen-address.js";
import type { NovaOption, TakenNovaOption } from "./nova-options.js";
import { NOVA_OPTIONS } from "./nova-options.js";
import type { SettingsTree } from "./settings-tree.js";
import { isTree, setAt, takeAt, valueAt } from "./settings-tree.js";

/** What the translation has to know of a setting. */
export interface KnownSetting {
  readonly name: string;
  /** JSON text; undefined = none. */
  readonly default: string | undefined;
}

/** What came of it. */
export interface Translation {
  /** What cannot be taken, a line each. */
  readonly problems: readonly string[];
  /** Our setting, and the names of Nova that gave its value: what is wrong with it is said of them. */
  readonly givenAs: ReadonlyMap<string, readonly string[]>;
}

/** An option as it was found. */
interface Given {
  readonly option: TakenNovaOption;
  readonly value: unknown;
}

/**
 * Replaces Nova's names in a tree by those of the program's settings. An option that means nothing here, or belongs to
 * the other program, is taken out and said why; so is one beside our own name for it.
 */
export function translateNovaOptions(tree: SettingsTree, settings: readonly KnownSetting[]): Translation {
  const problems: string[] = [];
  const given = new Map<KnownSetting, Given[]>();
  const known = new Map(settings.map((setting) => [setting.name, setting]));
  for (const option of NOVA_OPTIONS) {
    if (known.has(option.name) || valueAt(tree, option.name) === undefined) continue;
    const value = takeAt(tree, option.name);
    const setting = "setting" in option ? known.get(option.setting) : undefined;
    if ("setting" in option && setting) given.set(setting, [...(given.get(setting) ?? []), { option, value }]);
    else problems.push(`${option.name}: ${whyNot(option)}`);
  }
  problems.push(...unknownLeft(tree, settings));
  const givenAs = new Map<string, readonly string[]>();
  for (const [setting, options] of given) {
    const names = options.map(({ option }) => option.name);
    if (valueAt(tree, setting.name) !== undefined) problems.push(twice([...names, setting.name]));
    else if (options.length > 1 && options.some(({ option }) => !option.part)) problems.push(twice(names));
    else {
      setAt(tree, setting.name, valueOf(options, setting));
      givenAs.set(setting.name, names);
    }
  }
  return { problems, givenAs };
}

/** Why an option is refused, and what to do instead. */
export function whyNot(option: NovaOption): string {
  if ("reason" in option) return `an option of Nova that has no meaning here: ${option.reason}`;
  const { setting, program, name } = option;
  return `belongs to the settings of the ${program}${setting === name ? "" : `, where it is ${setting}`}`;
}

/** What else stands in sections that only Nova has; those are taken out, so that each option is named by itself. */
function unknownLeft(tree: SettingsTree, settings: readonly KnownSetting[]): string[] {
  const sectionOf = ({ name }: { readonly name: string }): string => name.split(".")[0] ?? "";
  const ours = new Set(settings.map(sectionOf));
  const novas = new Set(NOVA_OPTIONS.map(sectionOf).filter((section) => !ours.has(section)));
  return [...novas].flatMap((section) => {
    const left = tree[section];
    if (!isTree(left)) return [];
    takeAt(tree, section);
    return Object.keys(left).map((key) => `${section}.${key}: no such setting`);
  });
}

function twice(names: readonly string[]): string {
  return `${names.join(" and ")} are one setting; keep ${names.at(-1) ?? ""}`;
}

/** One option's value as it is, or an address made of its halves; the missing half is the default's. */
function valueOf(options: readonly Given[], setting: KnownSetting): unknown {
  if (options.some(({ option }) => !option.part)) return options[0]?.value;
  const usual = parseAddress(String(JSON.parse(setting.default ?? '""')));
  const half = (part: "host" | "port"): unknown =>
    options.find(({ option }) => option.part === part)?.value ?? usual?.[part];
  return formatAddress({ host: String(half("host")), port: Number(half("port")) });
}
