import type { PodmanOptions } from "../../core/mod.ts";
import type { Tool } from "../containers.ts";
import { dockerLike } from "./docker.ts";

/** A container of Podman, whose command line is Docker's. */
export const podman: Tool<PodmanOptions> = dockerLike(
  ({ podmanPath = "podman" }: PodmanOptions) => podmanPath,
);
