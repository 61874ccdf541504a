// The real std from npm, which comes without types: these are the ones in use.
import * as path from "npm:deno-std@1.4.0/path/mod.js";

interface Path {
  basename(path: string | URL, suffix?: string): string;
  dirname(path: string | URL): string;
  extname(path: string | URL): string;
  fromFileUrl(url: string | URL): string;
  isAbsolute(path: string): boolean;
  join(path: string | URL, ...paths: string[]): string;
  normalize(path: string | URL): string;
  relative(from: string, to: string): string;
  resolve(...paths: string[]): string;
  toFileUrl(path: string): URL;
}

export const {
  basename,
  dirname,
  extname,
  fromFileUrl,
  isAbsolute,
  join,
  normalize,
  relative,
  resolve,
  toFileUrl,
} = path as unknown as Path;
