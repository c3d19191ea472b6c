/** MD5 (RFC 1321), which browsers lack and pipe's clients send in place of a password. Pure. */

const SHIFTS = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
const SINES = Array.from({ length: 64 }, (_, step) => Math.floor(Math.abs(Math.sin(step + 1)) * 2 ** 32));
const START = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];

/** The text's UTF-8, padded to whole blocks of 64 bytes. @param {string} text */
function blocks(text) {
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(((bytes.length + 8 >> 6) + 1) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, bytes.length * 8, true);
  view.setUint32(padded.length - 4, Math.floor(bytes.length / 2 ** 29), true);
  return view;
}

/** One step's function of three words, and the word of the block that it adds.
 * @param {number} step @param {number} b @param {number} c @param {number} d */
function mix(step, b, c, d) {
  switch (step >> 4) {
    case 0: return [(b & c) | (~b & d), step];
    case 1: return [(d & b) | (~d & c), (5 * step + 1) % 16];
    case 2: return [b ^ c ^ d, (3 * step + 5) % 16];
    default: return [c ^ (b | ~d), (7 * step) % 16];
  }
}

/** 32 lower-case hex digits. @param {string} text */
export function md5(text) {
  const view = blocks(text);
  let state = START;
  for (let offset = 0; offset < view.byteLength; offset += 64) {
    let [a, b, c, d] = state;
    for (let step = 0; step < 64; step += 1) {
      const [mixed, word] = mix(step, b, c, d);
      const sum = (a + mixed + SINES[step] + view.getUint32(offset + word * 4, true)) | 0;
      const shift = SHIFTS[step >> 4][step % 4];
      [a, d, c, b] = [d, c, b, (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0];
    }
    state = [a, b, c, d].map((word, number) => (word + state[number]) | 0);
  }
  const result = new DataView(new ArrayBuffer(16));
  state.forEach((word, number) => result.setInt32(number * 4, word, true));
  return Array.from({ length: 16 }, (_, byte) => result.getUint8(byte).toString(16).padStart(2, "0")).join("");
}
