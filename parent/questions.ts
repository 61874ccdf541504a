import {
  type Context,
  errorMessage,
  Message,
  type OnPrompt,
  type Password,
  type Prompt,
  type Router,
  Secret,
} from "../core/mod.ts";
import { once } from "./dialogue.ts";

/**
 * Where a function of whoever asked for a context is to be called. Options go
 * to the hop that opens it; what asks a person stays with the person.
 */
interface Lent {
  /** The context that has the function. */
  lentBy: number;
  handle: number;
}

/** What an answer is: a secret, or why there is none. */
type Answer = [secret: unknown, error?: string];

/** A question as the hop put it: in its own name, and no other. */
function toPrompt(value: unknown, hop: Context): Prompt {
  const { kind, text, path } = Object(value);
  const below = `${hop.path}/`;
  return {
    kind: KINDS.includes(kind) ? kind : "code",
    text: String(text),
    path: String(path).startsWith(below) ? String(path) : `${below}?`,
  };
}

const KINDS: Prompt["kind"][] = ["password", "passphrase", "confirm", "code"];

/**
 * Replaces the functions among some options, which are `password` and
 * `onPrompt`, by the way to call them. Only the hop can call them, and only
 * until this is disposed of; the password is asked for once, whatever the hop
 * does.
 */
export function lend<O extends object>(
  router: Router,
  hop: Context,
  options: O,
): Disposable & { options: O } {
  const handles: number[] = [];
  const lent = Object.entries(options).map(([name, value]) => {
    if (typeof value !== "function") return [name, value];
    const call = name === "password"
      ? once(value as Password)!
      : (prompt: unknown) => (value as OnPrompt)(toPrompt(prompt, hop));
    const handle = router.addHandler(async (message) => {
      if (message.isDead) return;
      let answer: Answer;
      try {
        answer = [await call(message.decode())];
      } catch (error) {
        answer = [undefined, errorMessage(error)];
      }
      message.reply(Message.value(answer, { router }));
    }, { respondent: hop, maxSize: 64 * 1024 });
    handles.push(handle);
    return [name, { lentBy: router.id, handle } satisfies Lent];
  });
  return {
    options: Object.fromEntries(lent) as O,
    [Symbol.dispose]() {
      for (const handle of handles) router.deleteHandler(handle);
    },
  };
}

/** Makes functions again of what {@linkcode lend} replaced. */
export function borrow<O extends object>(router: Router, options: O): O {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) =>
      isLent(value)
        ? [name, (prompt: unknown) => ask(router, value, prompt)]
        : [name, value]
    ),
  ) as O;
}

function isLent(value: unknown): value is Lent {
  return typeof value === "object" && value !== null && "lentBy" in value;
}

async function ask(
  router: Router,
  { lentBy, handle }: Lent,
  prompt: unknown,
): Promise<Secret> {
  const answered = Promise.withResolvers<unknown>();
  const replyTo = router.addHandler((reply) => {
    try {
      answered.resolve(reply.decode());
    } catch (error) {
      answered.reject(error);
    }
  }, { persist: false, respondent: router.contextById(lentBy) });
  router.route(
    Message.value(prompt, { router, dstId: lentBy, handle, replyTo }),
  );
  const [secret, error] = await answered.promise as Answer;
  if (error !== undefined) throw new Error(error);
  if (!(secret instanceof Secret)) {
    throw new TypeError("expected a Secret for an answer");
  }
  return secret;
}
