/** A picture in some 25 bytes: its colours, blurred, as the format ThumbHash has them. Pure. */

/** Pixels of a drawing at each side. The picture's own form is that of its place. */
export const DRAWN = 32;

/** Of a picture's brightness, of yellow minus blue, of red minus green or of the opacity. `waves`: from 0 to 1. */
interface Channel {
  mean: number;
  scale: number;
  waves: number[];
}
type Counts = [across: number, down: number];

const COLOUR_WAVES: Counts = [3, 3];
const OPACITY_WAVES: Counts = [5, 5];
const FEWEST = 3;

/** Of pixels with red, green, blue and opacity. Its time is that of their number. */
export function thumbHash(width: number, height: number, pixels: Uint8ClampedArray): Uint8Array {
  const channels = channelsOf(pixels);
  const isOpaque = channels[3].every((alpha) => alpha === 1);
  const form = [width, height].map((side) => Math.max(1, Math.round((mostWaves(isOpaque) * side) / Math.max(width, height)))) as Counts;
  const counts = [form.map((count) => Math.max(FEWEST, count)) as Counts, COLOUR_WAVES, COLOUR_WAVES, OPACITY_WAVES];
  const [l, p, q, a] = channels.map((channel, at) => transformed(channel, width, height, counts[at] as Counts)) as [Channel, Channel, Channel, Channel];
  const bytes = (count: number, ...fields: [value: number, at: number][]) => {
    const bits = fields.reduce((sum, [value, at]) => sum + Math.round(value) * 2 ** at, 0);
    return Array.from({ length: count }, (_, at) => (bits >> (8 * at)) & 255);
  };
  const isWide = width > height;
  const waves = [l, p, q, ...(isOpaque ? [] : [a])].flatMap((channel) => channel.waves);
  return Uint8Array.from([
    ...bytes(3, [63 * l.mean, 0], [31.5 + 31.5 * p.mean, 6], [31.5 + 31.5 * q.mean, 12], [31 * l.scale, 18], [isOpaque ? 0 : 1, 23]),
    ...bytes(2, [Math.min(...form), 0], [63 * p.scale, 3], [63 * q.scale, 9], [isWide ? 1 : 0, 15]),
    ...(isOpaque ? [] : bytes(1, [15 * a.mean, 0], [15 * a.scale, 4])),
    ...waves.flatMap((wave, at) => (at % 2 ? [] : bytes(1, [15 * wave, 0], [15 * (waves[at + 1] ?? 0), 4]))),
  ]);
}

/** The pixels of a drawing, as rows. The missing bytes of a broken hash are 0. */
export function drawnHash(hash: Uint8Array): Uint8ClampedArray<ArrayBuffer> {
  const bits = (at: number, count: number) => {
    const three = [0, 1, 2].reduce((sum, more) => sum + (hash[(at >> 3) + more] ?? 0) * 2 ** (8 * more), 0);
    return (three >> (at & 7)) & (2 ** count - 1);
  };
  const isOpaque = bits(23, 1) === 0;
  const [most, least] = [mostWaves(isOpaque), Math.max(FEWEST, bits(24, 3))];
  let at = isOpaque ? 40 : 48;
  const drawn = (mean: number, scale: number, counts: Counts) => {
    const values = new Float32Array(DRAWN * DRAWN).fill(mean);
    for (const [cx, cy] of wavesIn(counts)) {
      const size = (bits(at, 4) / 7.5 - 1) * scale * 2;
      at += 4;
      for (let y = 0; y < DRAWN; y += 1) {
        const down = size * cosine(cy, y);
        for (let x = 0; x < DRAWN; x += 1) values[x + y * DRAWN] = (values[x + y * DRAWN] ?? 0) + cosine(cx, x) * down;
      }
    }
    return values;
  };
  const l = drawn(bits(0, 6) / 63, bits(18, 5) / 31, bits(39, 1) ? [most, least] : [least, most]);
  // more colour, for it is stored coarsely
  const p = drawn(bits(6, 6) / 31.5 - 1, (bits(27, 6) / 63) * 1.25, COLOUR_WAVES);
  const q = drawn(bits(12, 6) / 31.5 - 1, (bits(33, 6) / 63) * 1.25, COLOUR_WAVES);
  const a = isOpaque ? undefined : drawn(bits(40, 4) / 15, bits(44, 4) / 15, OPACITY_WAVES);
  const pixels = new Uint8ClampedArray(4 * DRAWN * DRAWN);
  l.forEach((bright, pixel) => {
    const [yellow = 0, red = 0] = [p[pixel], q[pixel]];
    const b = bright - (2 / 3) * yellow;
    const r = (3 * bright - b + red) / 2;
    pixels.set([r, r - red, b, a ? (a[pixel] ?? 0) : 1].map((value) => 255 * value), 4 * pixel);
  });
  return pixels;
}

function mostWaves(isOpaque: boolean): number {
  return isOpaque ? 7 : 5;
}

/** A transparent pixel has the mean colour of the others. */
function channelsOf(pixels: Uint8ClampedArray): [number[], number[], number[], number[]] {
  const found: [number[], number[], number[], number[]] = [[], [], [], []];
  const sums = [0, 0, 0, 0];
  for (let at = 0; at < pixels.length; at += 4)
    [0, 1, 2, 3].forEach((colour) => {
      sums[colour] = (sums[colour] ?? 0) + ((pixels[at + 3] ?? 0) / 255) * (colour < 3 ? (pixels[at + colour] ?? 0) / 255 : 1);
    });
  const means = sums.map((sum) => sum / (sums[3] || 1));
  for (let at = 0; at < pixels.length; at += 4) {
    const alpha = (pixels[at + 3] ?? 0) / 255;
    const [r = 0, g = 0, b = 0] = means.map((mean, colour) => mean * (1 - alpha) + (alpha / 255) * (pixels[at + colour] ?? 0));
    [(r + g + b) / 3, (r + g) / 2 - b, r - g, alpha].forEach((value, channel) => found[channel]?.push(value));
  }
  return found;
}

function transformed(channel: number[], width: number, height: number, counts: Counts): Channel {
  const size = (cx: number, cy: number) => {
    let sum = 0;
    for (let y = 0; y < height; y += 1) {
      const down = Math.cos((Math.PI / height) * cy * (y + 0.5));
      for (let x = 0; x < width; x += 1) sum += (channel[x + y * width] ?? 0) * Math.cos((Math.PI / width) * cx * (x + 0.5)) * down;
    }
    return sum / (width * height);
  };
  const waves = wavesIn(counts).map(([cx, cy]) => size(cx, cy));
  const scale = Math.max(...waves.map(Math.abs));
  return { mean: size(0, 0), scale, waves: waves.map((wave) => (scale ? 0.5 + (0.5 * wave) / scale : wave)) };
}

/** How often each wave turns, across and down. Those that turn often in both are left out, and so is the mean. */
function wavesIn([across, down]: Counts): Counts[] {
  const found: Counts[] = [];
  for (let cy = 0; cy < down; cy += 1)
    for (let cx = cy ? 0 : 1; cx * down < across * (down - cy); cx += 1) found.push([cx, cy]);
  return found;
}

const COSINES = Array.from({ length: 7 * DRAWN }, (_, at) => Math.cos((Math.PI / DRAWN) * Math.floor(at / DRAWN) * ((at % DRAWN) + 0.5)));

function cosine(turns: number, at: number): number {
  return COSINES[turns * DRAWN + at] ?? 0;
}
