/**
 * What became of tests, as their report in JUnit's format says.
 *
 * @module
 */

/** One test case in the report, and what became of it. */
const CASE = /<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;

/** A test that failed only through its steps, which are cases of their own. */
const BY_STEPS = /<failure message="\d+ test steps? failed"/;

const ENTITIES: Record<string, string> = {
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  amp: "&",
};

function decode(text: string): string {
  return text.replace(
    /&(\w+);/g,
    (entity, name) => ENTITIES[name] ?? entity,
  );
}

/** What became of some tests. */
export interface Outcome {
  passed: number;
  failed: number;
  /** Names of tests that were not run. */
  skipped: string[];
}

/** Counts what is in a report. */
export function count(junit: string): Outcome {
  const outcome: Outcome = { passed: 0, failed: 0, skipped: [] };
  for (const [, name, body = ""] of junit.matchAll(CASE)) {
    if (BY_STEPS.test(body)) continue;
    if (body.includes("<failure")) outcome.failed++;
    else if (body.includes("<skipped")) outcome.skipped.push(decode(name!));
    else outcome.passed++;
  }
  return outcome;
}
