// SPDX-License-Identifier: Apache-2.0
import { readFileSync, statSync } from "node:fs";
import { chown, lchown, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";

/** Whom a service runs as, in the form that spawn takes; empty for "as we do". */
export type ServiceUser = { readonly uid: number; readonly gid: number } | Record<string, never>;

/** Nobody where we are root (Postgres refuses to run as root, libvirtd would be the machine's), else ourselves. */
export function serviceUser(): ServiceUser {
  if (process.getuid?.() !== 0) return {};
  const [, uid, gid] = /^nobody:[^:]*:(\d+):(\d+):/m.exec(readFileSync("/etc/passwd", "utf8")) ?? [];
  if (uid === undefined) throw new Error("running as root needs the user nobody, and /etc/passwd has none");
  return { uid: Number(uid), gid: Number(gid) };
}

/**
 * The same user with the group that may use KVM, where there is one. Root's own group is no such group: what it may
 * open is not for nobody. The machine's permissions are left as they are.
 */
export function hypervisorUser(): ServiceUser {
  const user = serviceUser();
  const kvm = statSync("/dev/kvm", { throwIfNoEntry: false });
  const groupMayUse = kvm !== undefined && kvm.gid !== 0 && (kvm.mode & 0o060) === 0o060;
  return "uid" in user && groupMayUse ? { uid: user.uid, gid: kvm.gid } : user;
}

/** Makes a folder that only the user can enter. */
export async function makeFolderFor(user: ServiceUser, folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  if ("uid" in user) await chown(folder, user.uid, user.gid);
}

/** Gives a folder and all that is in it to the user. */
export async function giveTo(user: ServiceUser, folder: string): Promise<void> {
  if (!("uid" in user)) return;
  await lchown(folder, user.uid, user.gid);
  const entries = await readdir(folder, { recursive: true });
  await Promise.all(entries.map((entry) => lchown(join(folder, entry), user.uid, user.gid)));
}
