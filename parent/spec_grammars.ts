/**
 * What a spec of each way in looks like: one row each.
 *
 * @module
 */
import type { ConnectOptions, DenoOptions, Methods } from "../core/mod.ts";

/** A part of a spec does not fit. Says which, and why. */
export class Unfit extends Error {}

/** Reads the value of an option; `undefined` where there is no `=`. */
export type Reader = (key: string, text: string | undefined) => unknown;

/** What the specs of one way in look like. */
export interface Grammar<Key extends string> {
  /** For people. */
  form: string;
  /** Reads what stands between the method and the `?`. */
  target(text: string): Record<string, unknown>;
  /** The options that only this way in has. */
  options: Record<Key, Reader>;
  /** Says what is missing. */
  missing?(options: Record<string, unknown>): string | undefined;
  /** It is no process: it has no directory, environment or runtime of its own. */
  within?: true;
}

/** @throws {Unfit} on a `%` that begins no escape */
export function decode(what: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Unfit(
      `the ${what} holds a "%" that begins no escape: write %25 for a "%"`,
    );
  }
}

const text: Reader = (key, value) => {
  if (!value) throw new Unfit(`"${key}" has no value: write ${key}=...`);
  return value;
};
const list: Reader = (key, value) => [text(key, value)];
const flag: Reader = (key, value = "true") => {
  if (value !== "true" && value !== "false") {
    throw new Unfit(`"${key}" is neither true nor false`);
  }
  return value === "true";
};
const whole = (from: number, to: number): Reader => (key, value) => {
  if (!/^\d{1,9}$/.test(value ?? "") || +value! < from || +value! > to) {
    throw new Unfit(`"${key}" is not a whole number from ${from} to ${to}`);
  }
  return Number(value);
};
const oneOf = (...words: string[]): Reader => (key, value) => {
  if (!words.includes(value ?? "")) {
    throw new Unfit(`"${key}" is not one of ${words.join(", ")}`);
  }
  return value;
};
const secret: Reader = (key) => {
  throw new Unfit(
    `"${key}" is a secret, and those do not belong in a spec: give it to the method of the router`,
  );
};
const permissions: Reader = (key, value) => {
  const kinds = text(key, value) as string;
  if (kinds === "none" || kinds === "inherit") return kinds;
  const all = ["read", "write", "net", "env", "run", "sys", "ffi", "import"];
  return Object.fromEntries(
    kinds.split(",").map((kind) => {
      if (!all.includes(kind)) {
        throw new Unfit(
          `"${key}" is neither none nor inherit, nor a list of ${
            all.join(", ")
          }`,
        );
      }
      return [kind, true];
    }),
  );
};

const MILLISECONDS = whole(1, 999_999_999);
const PORT = whole(1, 65535);

/** Options of every process. */
const PROCESS:
  & Record<`deno.${keyof DenoOptions}`, Reader>
  & Record<"cwd" | "env.NAME", Reader> = {
    cwd: text,
    "env.NAME": (_, value = "") => value,
    "deno.path": text,
    "deno.version": text,
    "deno.ship": oneOf("auto", "never", "always"),
    // Nothing is where it is kept.
    "deno.cacheDir": (_, value) => value || null,
  };

/** Options of every way in. */
const COMMON: Record<
  Exclude<keyof ConnectOptions, "via" | "signal" | "cwd" | "env" | "deno">,
  Reader
> = {
  name: text,
  connectTimeout: MILLISECONDS,
  permissions,
  keepaliveInterval: whole(0, 999_999),
  keepaliveCount: whole(1, 999_999),
};

/** The options that a spec may have. */
export function optionsOf(grammar: Grammar<string>): Record<string, Reader> {
  return {
    ...grammar.options,
    ...COMMON,
    ...(grammar.within ? {} : PROCESS),
  };
}

/** Nothing but options. */
function nothing(text: string): Record<string, unknown> {
  if (text !== "") {
    throw new Unfit(`there is nothing to name, but it names "${text}"`);
  }
  return {};
}

/** One part, which may be left out. */
const named = (key: string) => (text: string): Record<string, unknown> =>
  text === "" ? {} : { [key]: decode(key, text) };

/** `[user@]` and the rest. */
const withUser =
  (read: (text: string) => Record<string, unknown>) =>
  (text: string): Record<string, unknown> => {
    const at = text.lastIndexOf("@");
    if (at < 0) return read(text);
    const user = text.slice(0, at);
    if (user === "") throw new Unfit("the user name before the @ is empty");
    if (user.includes(":")) {
      throw new Unfit(
        "the user name holds a colon (%3A where it is part of the name); a password does not belong in a spec",
      );
    }
    return { username: decode("username", user), ...read(text.slice(at + 1)) };
  };

/** `host[:port]`; an address of IPv6 stands in brackets. */
function hostPort(text: string): Record<string, unknown> {
  const match = text.match(/^(?:\[([^\]]*)\]|([^:[\]]*))(?::([^:]*))?$/);
  if (!match) {
    throw new Unfit(
      "the host cannot be told from the port: an IPv6 address stands in brackets, [::1]:22",
    );
  }
  const [, address, host, port] = match;
  return {
    ...named("hostname")(address ?? host!),
    ...(port === undefined ? {} : { port: PORT("port", port) }),
  };
}

/** `[namespace/]pod` */
function pod(text: string): Record<string, unknown> {
  const at = text.indexOf("/");
  if (at === 0) throw new Unfit("the namespace before the / is empty");
  return at < 0 ? named("pod")(text) : {
    namespace: decode("namespace", text.slice(0, at)),
    ...named("pod")(text.slice(at + 1)),
  };
}

const needs = (key: string, what: string) => (o: Record<string, unknown>) =>
  o[key] === undefined ? `the ${what} is missing` : undefined;

const CONTAINER = {
  target: named("container"),
  missing: needs("container", "container"),
};
const USER_CONTAINER = { ...CONTAINER, target: withUser(CONTAINER.target) };

/** Docker and Podman, of which only the names differ. */
const dockerLike = <K extends string>(name: string, path: K) => ({
  form: `${name}:[user@]container, or ${name}:?image=name`,
  target: withUser(named("container")),
  options: { container: text, image: text, username: text, [path]: text } as
    & Record<"container" | "image" | "username", Reader>
    & Record<K, Reader>,
  missing: (o: Record<string, unknown>) =>
    (o.container === undefined) === (o.image === undefined)
      ? "it must name either a container or an image"
      : undefined,
});

/** The options that only this way in has, but for functions: no text is one. */
type Own<O> = Exclude<
  {
    [K in keyof O]-?: NonNullable<O[K]> extends (...args: never[]) => unknown
      ? never
      : K;
  }[keyof O],
  keyof ConnectOptions | symbol | number
>;

/**
 * All ways in. An option that is not in its row does not exist for specs; the
 * compiler says when one is forgotten.
 */
export const GRAMMARS: { [M in keyof Methods]: Grammar<Own<Methods[M]>> } = {
  local: { form: "local:", target: nothing, options: {} },
  worker: { form: "worker:", target: nothing, options: {}, within: true },
  ssh: {
    form: "ssh:[user@]host[:port]",
    target: withUser(hostPort),
    missing: needs("hostname", "host"),
    options: {
      hostname: text,
      username: text,
      port: PORT,
      identityFile: text,
      password: secret,
      checkHostKeys: oneOf("enforce", "accept-new", "ignore"),
      compression: flag,
      sshPath: text,
      sshArgs: list,
      controlMaster: flag,
    },
  },
  sudo: {
    form: "sudo:[user]",
    target: named("username"),
    options: {
      username: text,
      password: secret,
      preserveEnv: flag,
      setHome: flag,
      login: flag,
      sudoPath: text,
      sudoArgs: list,
    },
  },
  su: {
    form: "su:[user]",
    target: named("username"),
    options: {
      username: text,
      password: secret,
      preserveEnv: flag,
      login: flag,
      suPath: text,
      suArgs: list,
    },
  },
  doas: {
    form: "doas:[user]",
    target: named("username"),
    options: {
      username: text,
      password: secret,
      doasPath: text,
      doasArgs: list,
    },
  },
  docker: dockerLike("docker", "dockerPath"),
  podman: dockerLike("podman", "podmanPath"),
  buildah: {
    form: "buildah:[user@]container",
    ...USER_CONTAINER,
    options: { container: text, username: text, buildahPath: text },
  },
  kubectl: {
    form: "kubectl:[namespace/]pod",
    target: pod,
    missing: needs("pod", "pod"),
    options: {
      pod: text,
      container: text,
      namespace: text,
      context: text,
      kubectlPath: text,
      kubectlArgs: list,
    },
  },
  lxc: {
    form: "lxc:container",
    ...CONTAINER,
    options: { container: text, lxcAttachPath: text },
  },
  lxd: {
    form: "lxd:container",
    ...CONTAINER,
    options: { container: text, lxcPath: text },
  },
  incus: {
    form: "incus:container",
    ...CONTAINER,
    options: { container: text, incusPath: text },
  },
  jail: {
    form: "jail:[user@]jail",
    ...USER_CONTAINER,
    options: { container: text, username: text, jexecPath: text },
  },
  machinectl: {
    form: "machinectl:[user@]machine",
    ...USER_CONTAINER,
    options: { container: text, username: text, systemdRunPath: text },
  },
  setns: {
    form: "setns:[user@]pid, or setns:[user@]container?kind=docker",
    target: withUser((text) =>
      /^\d+$/.test(text)
        ? { pid: whole(1, 999_999_999)("pid", text) }
        : named("container")(text)
    ),
    missing: ({ pid, container, kind }) =>
      (pid === undefined) === (container === undefined)
        ? "it must name either a pid or a container"
        : container !== undefined && kind === undefined
        ? "the kind of the container is missing"
        : undefined,
    options: {
      pid: whole(1, 999_999_999),
      container: text,
      kind: oneOf("docker", "podman", "lxc", "lxd", "incus", "machinectl"),
      username: text,
      nsenterPath: text,
      dockerPath: text,
      podmanPath: text,
      lxcInfoPath: text,
      lxcPath: text,
      incusPath: text,
      machinectlPath: text,
    },
  },
  chroot: {
    form: "chroot:/path",
    target: named("path"),
    missing: needs("path", "path"),
    options: { path: text, username: text, chrootPath: text },
  },
};
