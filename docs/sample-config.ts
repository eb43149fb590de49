// SPDX-License-Identifier: Apache-2.0
import type { z } from "zod";
import type { Setting } from "../src/config/load-config.js";
import { listSettings } from "../src/config/load-config.js";

const WIDTH = 116;

/**
 * A file of settings with every one of them commented out at its default, below what it means. Without the "# " that each
 * line begins with it says the same and can be loaded; settings without a default stay comments then.
 */
export function sampleConfig(schema: z.ZodObject, intro: string): string {
  const settings = listSettings(schema);
  const lines: string[] = [];
  let section: readonly string[] = [];
  for (const setting of settings) {
    const path = setting.name.split(".").slice(0, -1);
    lines.push(...headings(section, path, settings), ...settingLines(setting, path.length));
    section = path;
  }
  const comments = lines.map((line) => (line === "" ? "" : `# ${line}`));
  return [...wrapped(intro, "## "), ...comments].join("\n") + "\n";
}

/** The headings between two settings, and an empty line before each section. */
function headings(before: readonly string[], path: readonly string[], settings: readonly Setting[]): string[] {
  const shared = path.findIndex((name, depth) => name !== before[depth]);
  if (shared === -1) return [];
  const lines = path.slice(shared).map((name, index) => {
    const depth = shared + index;
    const prefix = `${path.slice(0, depth + 1).join(".")}.`;
    const saysSomething = settings.some((setting) => setting.name.startsWith(prefix) && setting.default !== undefined);
    // A heading with nothing below it would not be a section.
    return `${indent(depth)}${saysSomething ? "" : "# "}${name}:`;
  });
  return shared === 0 ? ["", ...lines] : lines;
}

function settingLines({ name, description, default: fallback }: Setting, depth: number): string[] {
  const key = name.slice(name.lastIndexOf(".") + 1);
  const line = fallback === undefined ? `# ${key}:` : `${key}: ${fallback}`;
  return [...wrapped(description, `${indent(depth)}# `), `${indent(depth)}${line}`];
}

/** Text in lines of a bearable width. */
function wrapped(text: string, before: string): string[] {
  const lines: string[] = [];
  let line = before;
  for (const word of text.split(" ")) {
    if (line.length + word.length > WIDTH) {
      lines.push(line.trimEnd());
      line = before;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}

function indent(depth: number): string {
  return "  ".repeat(depth);
}
