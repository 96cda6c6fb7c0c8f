import { zlibSync } from 'fflate';

type Colour = readonly [red: number, green: number, blue: number];

/** A picture to paint on, written as PNG (ISO/IEC 15948): 8 bits a channel, no transparency. */
interface Canvas {
  rectangle(x: number, y: number, width: number, height: number, colour: Colour): void;
  /** Letters of 5 × 7 points, `size` pixels a point; upwards from (x, y) when `up`. */
  text(text: string, x: number, y: number, colour: Colour, options?: { readonly size?: number; readonly up?: boolean }): void;
  encode(): Uint8Array;
}

/** Points from one letter to the next. */
export const ADVANCE = 6;
export const LETTER_HEIGHT = 7;

export function createCanvas(width: number, height: number, [red, green, blue]: Colour): Canvas {
  const pixels = new Uint8Array(3 * width * height);
  for (let i = 0; i < pixels.length; i += 3) pixels.set([red, green, blue], i);
  const rectangle = (x: number, y: number, w: number, h: number, colour: Colour) => {
    for (let row = Math.max(0, y); row < Math.min(height, y + h); row++)
      for (let column = Math.max(0, x); column < Math.min(width, x + w); column++) pixels.set(colour, 3 * (row * width + column));
  };
  return {
    rectangle,
    text(text, x, y, colour, { size = 2, up = false } = {}) {
      [...text.toLowerCase()].forEach((letter, i) => {
        const rows = FONT[letter] ?? FONT['?'] ?? '';
        for (let row = 0; row < LETTER_HEIGHT; row++)
          for (let column = 0; column < 5; column++) {
            if (((Number.parseInt(rows[row] ?? '0', 32) >> (4 - column)) & 1) === 0) continue;
            const along = (i * ADVANCE + column) * size;
            if (up) rectangle(x + row * size, y - along - size, size, size, colour);
            else rectangle(x + along, y + row * size, size, size, colour);
          }
      });
    },
    encode: () => encode(pixels, width, height),
  };
}

function encode(pixels: Uint8Array, width: number, height: number): Uint8Array {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  // Eight bits a channel, red, green and blue; one compression, one filter method, not interlaced.
  header.setUint8(8, 8);
  header.setUint8(9, 2);
  const lines = new Uint8Array(height * (1 + 3 * width));
  for (let row = 0; row < height; row++) lines.set(pixels.subarray(3 * row * width, 3 * (row + 1) * width), row * (1 + 3 * width) + 1);
  const chunks = [
    chunk('IHDR', new Uint8Array(header.buffer)),
    chunk('IDAT', zlibSync(lines, { level: 9 })),
    chunk('IEND', new Uint8Array(0)),
  ];
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const file = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, signature.length));
  let at = 0;
  for (const part of [signature, ...chunks]) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

/** Length, type, data, and the cyclic redundancy check of type and data. */
function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  let crc = ~0;
  for (const byte of bytes.subarray(4, 8 + data.length)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  view.setUint32(8 + data.length, ~crc >>> 0);
  return bytes;
}

/** Seven rows a letter, five bits each as one digit of base 32. Capitals are shown small. */
const FONT: Readonly<Record<string, string>> = {
  ...{ '0': 'ehjlphe', '1': '4c4444e', '2': 'eh1248v', '3': 'v2421he', '4': '26aiv22', '5': 'vgu11he', '6': '68guhhe', '7': 'v124888' },
  ...{ '8': 'ehhehhe', '9': 'ehhf12c', a: '00e1fhf', b: 'ggmphhu', c: '00egghe', d: '11djhhf', e: '00ehvge', f: '698s888' },
  ...{ g: '0fhhf1e', h: 'ggmphhh', i: '40c444e', j: '20622ic', k: 'ggikoki', l: 'c44444e', m: '00qllhh', n: '00mphhh' },
  ...{ o: '00ehhhe', p: '00uhugg', q: '00djf11', r: '00mpggg', s: '00ege1u', t: '88s8896', u: '00hhhjd', v: '00hhha4' },
  ...{ w: '00hhlla', x: '00ha4ah', y: '00hhf1e', z: '00v248v', '-': '000v000', _: '000000v', '.': '00000cc', ',': '0000c48' },
  ...{ ':': '0cc0cc0', '%': 'op248j3', '/': '01248g0', '(': '2488842', ')': '8422248', '+': '044v440', '?': 'eh12404', ' ': '0000000' },
};
