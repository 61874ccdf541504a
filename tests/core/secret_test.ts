import { assertEquals } from "@std/assert";
import { Secret } from "../../mod.ts";

Deno.test("a secret shows itself to nobody who does not ask", () => {
  const secret = new Secret("hunter2");
  const shown = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret }),
    Deno.inspect({ secret }),
    Object.keys(secret).join(),
  ].join();
  assertEquals(shown.includes("hunter2"), false);
  assertEquals(secret.reveal(), "hunter2");
});
