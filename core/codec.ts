/**
 * Values as bytes and back; `codec_format.ts` has the format.
 *
 * @module
 */
export { decode, type DecodeOptions } from "./codec_decode.ts";
export { encode, type EncodeOptions } from "./codec_encode.ts";
export { CodecError, type Extensions, type Limits } from "./codec_format.ts";
