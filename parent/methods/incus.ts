import type { IncusOptions } from "../../core/mod.ts";
import type { Tool } from "../containers.ts";
import { lxdLike } from "./lxd.ts";

/** An instance of Incus, whose command line is LXD's. */
export const incus: Tool<IncusOptions> = lxdLike(
  ({ incusPath = "incus" }: IncusOptions) => incusPath,
);
