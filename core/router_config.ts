/** Where a router stands in the tree. */
export interface RouterConfig {
  /** Its context's id; 0 is the master. */
  id: number;
  /** Its context's path, such as `master/ssh.web1`. */
  path: string;
  /** Ids of its ancestors, nearest first. */
  parentIds: number[];
  /** Limit on the data of one message, in bytes. */
  maxMessageSize?: number;
  /** Whether siblings are kept from talking to each other. */
  unidirectional?: boolean;
  /** Ids that it may give to contexts of its own: first, and first not. */
  ids?: [number, number];
}
