import { CopyError, errorMessage, errorName } from "../../core/mod.ts";

const REASONS: Record<string, string> = {
  EACCES: "permission denied",
  EBUSY: "it is in use",
  EDQUOT: "the quota is used up",
  EEXIST: "it exists already",
  EFBIG: "it is too large for the file system",
  EIO: "the disk has failed",
  EISDIR: "it is a directory",
  ELOOP: "too many symbolic links",
  EMFILE: "too many files are open",
  ENAMETOOLONG: "its name is too long",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on the device",
  ENOTDIR: "it is not a directory",
  ENOTEMPTY: "it is a directory that is not empty",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
};

/** What is neither read nor replaced: it is more than what is in it. */
export const SPECIAL = "it is a socket, a pipe or a device, not a file";

/** An error with one of the codes above. */
export function systemError(code: string): Error {
  return Object.assign(new Error(), { code });
}

/** @throws {TypeError} for a path that nothing can have */
export function checkPath(path: string): void {
  if (path === "") throw new TypeError("the path is empty");
  if (path.includes("\0")) throw new TypeError("the path holds a NUL");
}

/** What is being done to a file where it fails. */
export type Doing = "read" | "write";

/** The error for a file that cannot be read or written, with the reason in words. */
export function copyError(
  doing: Doing,
  path: string,
  context: string,
  cause: unknown,
): CopyError {
  if (cause instanceof CopyError) return cause;
  const code = (cause as { code?: unknown } | null)?.code;
  const named = typeof code === "string" ? code : "";
  const reason = errorName(cause) === "NotCapable"
    ? `the context was not granted that (${errorMessage(cause)})`
    : Object.hasOwn(REASONS, named)
    ? `${REASONS[named]} (${named})`
    : errorMessage(cause);
  return new CopyError(
    `Cannot ${doing} ${JSON.stringify(path)} on ${context}: ${reason}`,
    { path, context, code: named, cause },
  );
}
