// The real std from npm, which comes without types: these are the ones in use.
import * as streams from "npm:deno-std@1.4.0/streams/mod.js";

interface Streams {
  mergeReadableStreams<T>(...streams: ReadableStream<T>[]): ReadableStream<T>;
  toArrayBuffer(stream: ReadableStream<Uint8Array>): Promise<ArrayBuffer>;
  toText(stream: ReadableStream<Uint8Array | string>): Promise<string>;
  toJson(stream: ReadableStream<Uint8Array | string>): Promise<unknown>;
}

export const { mergeReadableStreams, toArrayBuffer, toJson, toText } =
  streams as unknown as Streams;

export const TextLineStream = streams.TextLineStream as unknown as {
  new (options?: { allowCR?: boolean }): TransformStream<string, string>;
};
