/** The dialects that the first page speaks, in the order of its menus. */

import { native } from "./native.js";
import { ourchatV0 } from "./ourchat_v0.js";
import { ourchatV1 } from "./ourchat_v1.js";
import { ourchatV2 } from "./ourchat_v2.js";
import { pipe } from "./pipe.js";
import { service } from "./service.js";

/** @type {Map<string, import("./events.js").Codec>} */
export const CODECS = new Map([ourchatV2, ourchatV1, ourchatV0, pipe, service, native].map((codec) => [codec.dialect, codec]));
