import {
  CallNumbers,
  type CallOptions,
  invoke,
  invokeNoReply,
  invokeRef,
  invokeService,
} from "./call.ts";
import { underDeadline } from "./under_deadline.ts";
import type { CloseReason } from "./errors.ts";
import { Handle } from "./frame.ts";
import { exportsOf } from "./dispatcher.ts";
import { Message } from "./message.ts";
import type { CopyOptions } from "./options.ts";
import type { RemoteCommandOptions, RemoteProcess } from "./process.ts";
import type { Router } from "./router.ts";
import type { RemoteService, ServiceOptions } from "./service.ts";

/** The functions of a module that runs elsewhere: each answers with a promise. */
export type Remote<M> = {
  [K in keyof M as M[K] extends (...args: never[]) => unknown ? K : never]:
    M[K] extends (...args: infer A) => infer R
      ? (...args: A) => Promise<Awaited<R>>
      : never;
};

/** The part of a {@linkcode Context} that takes {@linkcode CallOptions}. */
export type Caller = Pick<
  Context,
  "call" | "callNoReply" | "import" | "service" | "spawn"
>;

/**
 * A process, or a Worker, somewhere in the tree. Made by the methods of
 * `Router`, and revived wherever one crosses.
 */
export class Context implements AsyncDisposable {
  /** The router through which it is reached. */
  readonly router: Router;
  /** Unique in the tree, never used again. */
  readonly id: number;
  /** The way to it from the master, such as `master/ssh.web1/sudo.root`. */
  readonly path: string;
  /** Settles once, when it is gone; never rejects. The first reason is kept. */
  get closed(): Promise<CloseReason> {
    if (!this.#reason) this.router.hold(this);
    return this.#closed;
  }

  /** What this context calls there. */
  readonly calls: CallNumbers = new CallNumbers();

  readonly #closed: Promise<CloseReason>;
  #resolve!: (reason: CloseReason) => void;
  #reason: CloseReason | undefined;
  #shutdown: Promise<void> | undefined;

  /** Made by the router; use `router.contextById()`. */
  constructor(router: Router, id: number, path: string) {
    this.router = router;
    this.id = id;
    this.path = path;
    this.#closed = new Promise((resolve) => this.#resolve = resolve);
  }

  /** The last part of the path. */
  get name(): string {
    return this.path.slice(this.path.lastIndexOf("/") + 1);
  }

  /** Why it is gone; `undefined` while it is there. */
  get closeReason(): CloseReason | undefined {
    return this.#reason;
  }

  /** Called by the router when it is lost. */
  markClosed(reason: CloseReason): void {
    if (this.#reason) return;
    this.#reason = reason;
    this.#resolve(reason);
  }

  /**
   * Calls a function there.
   *
   * One that a module of the program exports is sent by reference: its module
   * and what that imports are shipped. Any other is sent by its source, and
   * must not use anything from around it. Calls run side by side; put those
   * that must not in a `CallChain`.
   *
   * @throws {CallError} when the function throws
   * @throws {DisconnectedError} when the context is lost
   * @throws {CodecError} when an argument cannot cross
   * @throws {TypeError} when the function cannot be sent
   */
  call<A extends unknown[], R>(
    fn: (...args: A) => R,
    ...args: NoInfer<A>
  ): Promise<Awaited<R>> {
    return invoke(this, fn, { args }) as Promise<Awaited<R>>;
  }

  /** Calls a function there and does not wait. What it throws is logged there. */
  callNoReply<A extends unknown[]>(
    fn: (...args: A) => unknown,
    ...args: NoInfer<A>
  ): void {
    invokeNoReply(this, fn, { args });
  }

  /**
   * The same context, with options for what is called through it.
   *
   * `timeout` and `signal` cancel the work on the other side as well: its
   * `current().signal` fires.
   */
  with(options: CallOptions): Caller {
    return {
      call: (fn, ...args) =>
        invoke(this, fn, { ...options, args }) as Promise<never>,
      callNoReply: (fn, ...args) =>
        invokeNoReply(this, fn, { ...options, args }),
      import: (specifier) => this.#import(specifier, options),
      service: (name, more) => this.service(name, { ...options, ...more }),
      spawn: (command, process) => this.#spawn(command, process, options),
    };
  }

  /**
   * Starts a program there, and answers when it runs. It goes with its context,
   * and all of its process group with it.
   *
   * @throws {CallError} when it cannot be started; `cause` says why, such as `Deno.errors.NotFound`
   * @example
   * ```ts
   * import { Router } from "@mitogen/mitogen";
   * import { assertEquals } from "@std/assert";
   *
   * await using router = new Router();
   * const context = await router.local();
   * const process = await context.spawn("sort", { stdin: "piped" });
   * const input = process.stdin.getWriter();
   * await input.write(new TextEncoder().encode("pear\napple\n"));
   * await input.close();
   * assertEquals(await process.text(), "apple\npear\n");
   * ```
   */
  spawn(
    command: string | URL,
    options?: RemoteCommandOptions,
  ): Promise<RemoteProcess> {
    return this.#spawn(command, options, {});
  }

  async #spawn(
    command: string | URL,
    options: RemoteCommandOptions | undefined,
    call: CallOptions,
  ): Promise<RemoteProcess> {
    const room = await this.router.parentRoom();
    return await room.spawn(this, command, options, call);
  }

  /**
   * Loads a module there and answers with its functions.
   *
   * @param specifier absolute, as from `import.meta.resolve("./tasks.ts")`
   */
  import<M>(specifier: string | URL): Promise<Remote<M>> {
    return this.#import(specifier, {});
  }

  async #import<M>(
    specifier: string | URL,
    options: CallOptions,
  ): Promise<Remote<M>> {
    const offered = this.router.functions.offer(String(specifier));
    const names = await underDeadline(
      this.path,
      options,
      offered,
      async (options) =>
        invoke(this, exportsOf, { ...options, args: [await offered] }),
    );
    const url = await offered;
    const remote: Record<string, unknown> = {};
    for (const name of names as string[]) {
      remote[name] = (...args: unknown[]) =>
        invokeRef(this, [url, name], { ...options, args });
    }
    return remote as Remote<M>;
  }

  /**
   * A service that is served there: see `router.serve()`.
   *
   * Nothing is sent before a method is called. A method that is not served, or
   * that this context may not call, fails with a {@linkcode ChannelError}.
   *
   * @param name under which it is served
   */
  service<T>(
    name: string,
    options: ServiceOptions<T> = {},
  ): RemoteService<T> {
    const { activate, ...rest } = options;
    const shown = () => `Service(${JSON.stringify(name)}, ${this.path})`;
    // What the language and the console ask of it, it answers itself.
    const own = {
      [Symbol.toPrimitive]: shown,
      [Symbol.toStringTag]: "Service",
      [Symbol.for("Deno.customInspect")]: shown,
    };
    return new Proxy(own, {
      get: (_, method) =>
        typeof method === "symbol"
          ? Reflect.get(own, method)
          // What has a method `then` is taken for a promise.
          : method === "then"
          ? undefined
          : (...args: unknown[]) =>
            invokeService(this, name, method, { ...rest, args }, activate),
    }) as unknown as RemoteService<T>;
  }

  /**
   * Copies a file, a directory or a stream to a path there, which names the
   * result. What is there under that name is replaced when all has arrived and
   * was checked; a directory that is there gets what is copied file by file.
   *
   * @throws {CopyError} when something cannot be read or written
   * @throws {DisconnectedError} when the context is lost
   */
  async copyTo(
    source: string | URL | ReadableStream<Uint8Array>,
    path: string,
    options?: CopyOptions,
  ): Promise<void> {
    const room = await this.router.parentRoom();
    await room.copyTo(this, source, path, options);
  }

  /**
   * Copies a file or directory from there to a path here, or a file to a
   * stream. Otherwise like {@linkcode Context.copyTo}.
   *
   * @throws {CopyError} when something cannot be read or written
   * @throws {DisconnectedError} when the context is lost
   */
  async copyFrom(
    path: string,
    target: string | URL | WritableStream<Uint8Array>,
    options?: CopyOptions,
  ): Promise<void> {
    const room = await this.router.parentRoom();
    await room.copyFrom(this, path, target, options);
  }

  /** The time a message takes there and back, in milliseconds. */
  async ping(): Promise<number> {
    const begin = performance.now();
    await this.ask(new Message({ handle: Handle.PING }));
    return performance.now() - begin;
  }

  /** Sends a message there and answers with the value that comes back. */
  ask(message: Message): Promise<unknown> {
    const { router } = this;
    return new Promise((resolve, reject) => {
      message.dstId = this.id;
      message.replyTo = router.addHandler((reply) => {
        try {
          resolve(reply.take());
        } catch (error) {
          reject(error);
        }
      }, { persist: false, respondent: this });
      router.route(message);
    });
  }

  /**
   * Ends the context and all that is below it. Resolves when it is gone.
   * A context that does not react is killed.
   */
  shutdown(): Promise<void> {
    return this.#shutdown ??= this.#end();
  }

  async #end(): Promise<void> {
    if (this.#reason) return;
    this.router.route(
      new Message({ dstId: this.id, handle: Handle.SHUTDOWN }),
    );
    await this.closed;
  }

  /** The same as {@linkcode Context.shutdown}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** What `Deno.inspect` shows. */
  [Symbol.for("Deno.customInspect")](): string {
    return `Context(${this.id}, ${this.path})`;
  }
}
