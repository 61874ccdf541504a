/** What a machine says of itself, and whether there is a Deno for it. */
export interface Platform {
  /** What `uname -sm` says there. */
  name: string;
  /** Deno's own name of it, as in `Deno.build.target`. */
  target: string;
  /** The npm package that has Deno for it. */
  npm: string;
  /** Where glibc's loader is, on the platforms that have one. */
  loader?: string;
}

/** The platforms that Deno is made for, but for Windows, which has no `sh`. */
const PLATFORMS: readonly Platform[] = [
  {
    name: "Linux x86_64",
    target: "x86_64-unknown-linux-gnu",
    npm: "@deno/linux-x64-glibc",
    loader: "/lib64/ld-linux-x86-64.so.2",
  },
  {
    name: "Linux aarch64",
    target: "aarch64-unknown-linux-gnu",
    npm: "@deno/linux-arm64-glibc",
    loader: "/lib/ld-linux-aarch64.so.1",
  },
  {
    name: "Darwin x86_64",
    target: "x86_64-apple-darwin",
    npm: "@deno/darwin-x64",
  },
  {
    name: "Darwin arm64",
    target: "aarch64-apple-darwin",
    npm: "@deno/darwin-arm64",
  },
];

/** Minor version of glibc 2 that Deno needs at least. */
export const GLIBC_MINOR = 27;

/** Shared libraries that Deno needs, beside the C library itself. */
export const LIBRARIES: readonly string[] = [
  "libgcc_s.so.1",
  "libm.so.6",
  "libdl.so.2",
  "libpthread.so.0",
  "librt.so.1",
];

/** The names of all platforms that there is a Deno for. */
export const PLATFORM_NAMES: string = PLATFORMS.map(({ name }) => name).join(
  ", ",
);

/** The platform of this name, if there is a Deno for it. */
export function platformOf(name: string): Platform | undefined {
  return PLATFORMS.find((platform) => platform.name === name);
}
