// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";

// As much of google.protobuf.FileDescriptorSet, in its JSON form, as the page shows.
const field = z.object({
  name: z.string(),
  type: z.string(),
  typeName: z.string().optional(),
  label: z.string().optional(),
});
const message = z.object({ name: z.string(), field: z.array(field).default([]) });
const enumeration = z.object({ name: z.string(), value: z.array(z.object({ name: z.string() })) });
const method = z.object({
  name: z.string(),
  inputType: z.string(),
  outputType: z.string(),
  clientStreaming: z.boolean().default(false),
  serverStreaming: z.boolean().default(false),
});
const file = z.object({
  name: z.string(),
  package: z.string(),
  messageType: z.array(message).default([]),
  enumType: z.array(enumeration).default([]),
  service: z.array(z.object({ name: z.string(), method: z.array(method) })).default([]),
  sourceCodeInfo: z
    .object({
      location: z.array(
        z.object({
          path: z.array(z.number()).default([]),
          leadingComments: z.string().optional(),
          leadingDetachedComments: z.array(z.string()).default([]),
        }),
      ),
    })
    .default({ location: [] }),
});
const descriptorSet = z.object({ file: z.array(file) });

type File = z.infer<typeof file>;
type Comments = (...path: number[]) => string;

// The syntax statement's path; what stands before it is about the whole file.
const SYNTAX = "12";
// Field numbers of FileDescriptorProto and its parts, which make the paths of comments.
const MESSAGE = 4;
const ENUM = 5;
const SERVICE = 6;
const MEMBER = 2;

/** The API page from the descriptors of the proto files (JSON, with comments). */
export function apiPage(json: string): string {
  const files = descriptorSet.parse(JSON.parse(json)).file.filter(({ name }) => name.startsWith("spicegate/"));
  const intro = "# API\n\nFrom the comments of the proto files in `proto/spicegate`.\n";
  return [intro, ...files.map(fileSection)].join("\n");
}

function fileSection(source: File): string {
  const comments = commentsOf(source);
  const services = source.service.flatMap((service, at) => [
    `## ${source.package}.${service.name}\n`,
    `${comments(SERVICE, at)}\n`,
    specificationOf(source),
    ...service.method.map((rpc, index) => rpcSection(rpc, comments(SERVICE, at, MEMBER, index))),
  ]);
  const messages = source.messageType.map((type, at) => {
    const rows = type.field.map((entry, index) =>
      row(`\`${entry.name}\``, typeOf(entry), comments(MESSAGE, at, MEMBER, index)),
    );
    return section(type.name, comments(MESSAGE, at), ["field", "type", "meaning"], rows);
  });
  const enums = source.enumType.map((type, at) => {
    const rows = type.value.map((entry, index) => row(`\`${entry.name}\``, comments(ENUM, at, MEMBER, index)));
    return section(type.name, comments(ENUM, at), ["value", "meaning"], rows);
  });
  return [...services, ...messages, ...enums].join("\n");
}

/** The comment at the top of a file, after the licence, as it stands there. */
function specificationOf(source: File): string {
  const top = source.sourceCodeInfo.location.find(({ path }) => path.join(".") === SYNTAX);
  const comments = [...(top?.leadingDetachedComments ?? []), top?.leadingComments ?? ""];
  const text = comments.filter((comment) => comment !== "" && !comment.includes("SPDX")).at(-1);
  if (text === undefined) return "";
  return `\`\`\`text\n${text.replace(/^ /gm, "").trim()}\n\`\`\`\n`;
}

function rpcSection(rpc: z.infer<typeof method>, comment: string): string {
  const side = (streaming: boolean, type: string): string => `${streaming ? "stream " : ""}${shortName(type)}`;
  const shape = `${side(rpc.clientStreaming, rpc.inputType)} → ${side(rpc.serverStreaming, rpc.outputType)}`;
  return `### ${rpc.name}\n\n\`${shape}\`\n\n${comment}\n`;
}

function section(name: string, comment: string, header: readonly string[], rows: readonly string[]): string {
  const table =
    rows.length === 0 ? "" : `\n${row(...header)}\n${row(...header.map(() => "---"))}\n${rows.join("\n")}\n`;
  return `#### ${name}\n\n${comment}\n${table}`;
}

function row(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
}

function typeOf({ type, typeName, label }: z.infer<typeof field>): string {
  const name = typeName === undefined ? type.replace("TYPE_", "").toLowerCase() : shortName(typeName);
  return label === "LABEL_REPEATED" ? `repeated ${name}` : name;
}

function shortName(type: string): string {
  return type.split(".").at(-1) ?? type;
}

function commentsOf(source: File): Comments {
  const byPath = new Map(
    source.sourceCodeInfo.location.map(({ path, leadingComments }) => [path.join("."), leadingComments ?? ""]),
  );
  return (...path) => (byPath.get(path.join(".")) ?? "").trim().replaceAll("<", "&lt;");
}
