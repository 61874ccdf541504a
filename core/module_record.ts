/** A module as the master finds it, ready to be run elsewhere. */
export interface ModuleRecord {
  /** Its URL in the caller's program. */
  url: string;
  /** How it is imported: text and bytes have become JavaScript by now. */
  type: "module" | "json";
  /** JavaScript, or JSON. */
  source: string;
  /** Each specifier in it, as written, and the URL that it stands for. */
  imports: Record<string, string>;
}
