/**
 * The first stage: the command line that becomes a context.
 *
 * A POSIX `sh` moves the pipes to private descriptors, finds a Deno and lets
 * it run a few lines of JavaScript, which wait for the rest over those pipes.
 *
 * ```text
 * parent                                child
 *   command line ------------------------> sh: exec 3<&0 4>&1, find deno, exec it
 *   <------------------------------------- MITO000   (whatever came before is noise)
 *   lengths, core, configuration --------> inflate, import as mitogen:core
 *   <------------------------------------- MITO001   (frames from now on)
 * ```
 *
 * Where there is no Deno, the shell asks for what to do: see `runtime_script.ts`.
 *
 * @module
 */
import type { ChildConfig, DenoOptions } from "../core/mod.ts";
import { quote, quoteForLogin } from "./quote.ts";

/** The child waits for the preamble. */
export const READY_FOR_CORE = "MITO000\n";
/** The child speaks frames from here on. */
export const READY = "MITO001\n";
/** There is no Deno; what the machine is follows on the same line. */
export const NO_RUNTIME = "MITO404";

/** Where the JavaScript is inflated and made importable; shared with Workers. */
const LOAD = `
import{registerHooks as h}from"node:module";
import{inflateRawSync as z}from"node:zlib";
const g=k=>{let u="mitogen:core",s=new TextDecoder().decode(z(k));
h({resolve:(a,c,n)=>a==u?{url:u,shortCircuit:true}:n(a,c),load:(a,c,n)=>a==u?{format:"module",source:s,shortCircuit:true}:n(a,c)});
return import(u)};`;

const PROCESS = `
import{Socket as S}from"node:net";${LOAD}
const B=new Uint8Array(65536),i=new S({fd:3,readable:true,writable:false,onread:{buffer:B,callback:n=>f(B.subarray(0,n))}}),o=new S({fd:4,readable:false,writable:true}),
q=()=>Deno.exit(1);
let p=[],l=0,w=8,f=d=>{p.push(d.slice());l+=d.length;if(l<w)return;
let b=new Uint8Array(l),a=0,v,c,e;for(d of p)b.set(d,a),a+=d.length;p=[b];
v=new DataView(b.buffer);c=v.getUint32(0)+8;w=e=c+v.getUint32(4);if(l<e)return;
i.off("end",q).pause();
g(d=b.slice(8,c)).then(m=>{o.write("MITO001%n");m.bootProcess({config:JSON.parse(new TextDecoder().decode(b.slice(c,e))),input:i,lend:t=>f=t,output:o,rest:b.slice(e),core:d})})};
i.on("end",q).resume();o.write("MITO000%n");import.meta.url.at(-1)==5&&new S({fd:5,readable:false}).destroy()`;

const WORKER = `${LOAD}
onmessage=({data:d})=>{onmessage=null;g(d.core).then(m=>{postMessage("MITO001");m.bootWorker({config:d.config,core:d.core,port:globalThis})},e=>{throw e})}`;

function compact(source: string): string {
  return source.replaceAll("\n", "").replaceAll("%n", "\\n");
}

/**
 * The first stage of a process as a URL that a shell leaves alone in double
 * quotes, and an outer one in single quotes.
 */
const PROCESS_URL = "data:application/javascript," +
  compact(PROCESS).replace(
    /[^A-Za-z0-9()*,.\/:;=@\[\]_{}<>|&+-]/g,
    (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0"),
  );

/** The first stage of a Worker. */
export const WORKER_SOURCE: string = compact(WORKER);

/** What the first stage of a process is made from. */
export interface FirstStageOptions {
  /** Path of the Deno to run. Default: what `deno` says. */
  path?: string;
  /** Path of a Deno that is tried before others. */
  prefer?: string;
  /** Which Deno to run. Default: the script looks for one, and asks if there is none. */
  deno?: DenoOptions | undefined;
  /** The flags that make the context's permissions. */
  flags: string[];
  /** Working directory. */
  cwd?: string;
  /** Variables to set. */
  env?: Record<string, string>;
}

/**
 * Flags of every context: it reads and writes nothing of its own accord. In a
 * nursery of the usual 16 MiB garbage is so rarely looked for that a busy reader
 * of a stream keeps a hundred megabytes of pieces that are done with; and
 * `garbage.ts` of the core says when to look for it.
 */
const FLAGS =
  "-q --no-config --no-lock --no-prompt --no-remote --no-npm --unstable-worker-options --v8-flags=--max-semi-space-size=4,--expose-gc";

/** What `deno -V` says of one that is too old for the first stage, and of others. */
const TOO_OLD = '"deno 2."[0-8].*);;"deno "[2-9]';

/** Looks for a Deno that can be used: one that says that it is. */
function find(version: string | undefined, prefer: string | undefined): string {
  const usable = version === undefined
    ? `${TOO_OLD}*`
    : quote(`deno ${version}`);
  const first = prefer === undefined ? "" : `${quote(prefer)} `;
  return `for d in ${first}"$(command -v deno)" "$HOME/.deno/bin/deno";do case "$("$d" -V 2>/dev/null)" in ${usable})break;;esac;d=;done`;
}

/** Asks for a Deno, and does what the answer says: it is a line of shell, and sets `d`. */
const ASK =
  `[ "$d" ]||{ echo "${NO_RUNTIME} $(uname -sm)">&4;read -r l<&3||exit 1;eval "$l";}`;

/**
 * One installed with npm may be a script around the real program, which would
 * not hand on our descriptors: it is asked for its own path.
 */
const UNWRAP =
  'case "$(dd if="$d" bs=1 count=1 2>/dev/null)" in "#")d=$("$d" eval "console.log(Deno.execPath())");;esac';

/**
 * @throws {TypeError} when it says what no shell could do
 */
function checkDeno({ version, cacheDir }: DenoOptions): void {
  if (version !== undefined && !/^\d+\.\d+\.\d+[\w.+-]*$/.test(version)) {
    throw new TypeError(
      `Cannot ask for the version ${
        JSON.stringify(version)
      } of Deno: one looks like "2.9.6"`,
    );
  }
  if (typeof cacheDir === "string" && !/^\/[^\n\r\0]*$/.test(cacheDir)) {
    throw new TypeError(
      `Cannot keep a runtime in ${
        JSON.stringify(cacheDir)
      }: cacheDir is an absolute path without a line break, or null`,
    );
  }
}

/** The script that a POSIX `sh` runs to become a context. */
export function firstStage(options: FirstStageOptions): string {
  const { deno, prefer, flags, cwd, env } = options;
  const path = options.path ?? deno?.path;
  if (deno) checkDeno(deno);
  const words = ["run", FLAGS, ...flags.map(quote)];
  const steps = ["exec 3<&0 4>&1 </dev/null >&2"];
  if (cwd !== undefined) steps.push(`cd ${quote(dashed(cwd))}||exit 1`);
  for (const [name, value] of Object.entries(env ?? {})) {
    steps.push(`export ${variable(name)}=${quote(value)}`);
  }
  if (path === undefined) {
    // A cache that is not there is not made: nothing is left behind.
    steps.push(
      '[ -d "${DENO_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/deno}" ]||export DENO_DIR=/dev/null/-',
    );
    steps.push(
      deno?.ship === "always" ? "d=" : find(deno?.version, prefer),
      // The answer sets `k` to a descriptor when Deno must close it to say that
      // it has started.
      "k=",
      ASK,
      UNWRAP,
    );
    words.push(`"${PROCESS_URL}#$k"`);
  } else {
    steps.push(`d=${quote(path)}`);
    words.push(`"${PROCESS_URL}"`);
  }
  steps.push(
    "export DENO_NO_UPDATE_CHECK=1",
    `exec "$d" ${words.join(" ")}`,
  );
  return steps.join(";");
}

function dashed(path: string): string {
  return path.startsWith("-") ? `./${path}` : path;
}

/** @throws {TypeError} when no shell could set a variable of this name */
export function variable(name: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    throw new TypeError(
      `Cannot set the variable ${
        JSON.stringify(name)
      }: a name is made of letters, digits and _`,
    );
  }
  return name;
}

/** The same as one word for a login shell of any kind, as ssh needs it. */
export function loginCommand(options: FirstStageOptions): string {
  return `exec sh -c ${quoteForLogin(firstStage(options))}`;
}

/** The shortest command line that starts a context over ssh; its size is a budget. */
export function bootCommandLine(): string {
  return loginCommand({ flags: ["-A"] });
}

/** What is sent when the child has said {@linkcode READY_FOR_CORE}. */
export function preamble(
  core: Uint8Array,
  config: ChildConfig,
): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(config));
  const bytes = new Uint8Array(8 + core.length + json.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, core.length);
  view.setUint32(4, json.length);
  bytes.set(core, 8);
  bytes.set(json, 8 + core.length);
  return bytes;
}
