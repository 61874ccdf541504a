import type { KubectlOptions } from "../../core/mod.ts";
import { flag, type Tool, word } from "../containers.ts";

/** A container of a Kubernetes pod. */
export const kubectl: Tool<KubectlOptions> = {
  place: ({ namespace, pod }) =>
    namespace === undefined ? pod : `${namespace}/${pod}`,
  argv(options, sh) {
    const { pod, container, namespace, context } = options;
    return [
      options.kubectlPath ?? "kubectl",
      ...flag("--context", "context", context),
      ...flag("--namespace", "namespace", namespace),
      ...options.kubectlArgs ?? [],
      "exec",
      "--stdin",
      ...flag("--container", "container", container),
      word("pod", pod),
      "--",
      ...sh,
    ];
  },
  reasons: [
    [/\(Forbidden\)|\(?Unauthorized\)?|must be logged in|x509: /i, "auth"],
    [/i\/o timeout|timed out|deadline exceeded/i, "timeout"],
    [
      /\(NotFound\)|container not found|container \S+ is not valid|context .* does not exist|Unable to connect to the server|connection to the server .* was refused|no such host|cannot exec into|resource name may not be empty/i,
      "not-found",
    ],
  ],
};
