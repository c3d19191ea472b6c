/** The colours of a picture, on the canvas behind it. */
import { noChange } from "lit";
import { Directive, type ElementPart, type PartInfo, PartType, directive } from "lit/directive.js";
import { DRAWN, drawnHash } from "../files/thumbhash.ts";

class Colours extends Directive {
  #drawn = "";

  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.ELEMENT) throw new Error("colours() belongs to an element");
  }

  render(_hash: string): typeof noChange {
    return noChange;
  }

  override update(part: ElementPart, [hash]: [string]): typeof noChange {
    if (hash !== this.#drawn) draw(part.element as HTMLCanvasElement, hash);
    this.#drawn = hash;
    return noChange;
  }
}

export const colours = directive(Colours);

/** Nothing of a hash that is not in base64, in either alphabet. */
function draw(canvas: HTMLCanvasElement, hash: string): void {
  canvas.width = canvas.height = DRAWN;
  try {
    const bytes = Uint8Array.from(atob(hash.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
    canvas.getContext("2d")?.putImageData(new ImageData(drawnHash(bytes), DRAWN), 0, 0);
  } catch {
    // the picture itself comes
  }
}
