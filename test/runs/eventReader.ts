/** @file An independent reader of event files: frames by their lengths and checksums, messages by protobuf's wire format. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { crc32c } from '../../src/runs/crc32c.js';

/** Its events: lists of values by field number. */
export function readEvents(file: string) {
  const bytes = readFileSync(file);
  const events: Map<number, (number | Buffer)[]>[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    const data = bytes.subarray(at + 12, at + 12 + length);
    assert.equal(bytes.readUInt32LE(at + 8), masked(bytes.subarray(at, at + 8)));
    assert.equal(bytes.readUInt32LE(at + 12 + length), masked(data));
    events.push(fields(data));
    at += length + 16;
  }
  return events;
}

function masked(bytes: Uint8Array): number {
  const crc = BigInt(crc32c(bytes));
  return Number((((crc >> 15n) | (crc << 17n)) + 0xa282ead8n) & 0xffffffffn);
}

/** The values of a message by field number. */
export function fields(data: Buffer): Map<number, (number | Buffer)[]> {
  const found = new Map<number, (number | Buffer)[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = data[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(value);
    }
  };
  while (at < data.length) {
    const key = varint();
    const list = found.get(key >> 3) ?? [];
    found.set(key >> 3, list);
    switch (key & 7) {
      case 0:
        list.push(varint());
        break;
      case 1:
        list.push(data.readDoubleLE(at));
        at += 8;
        break;
      case 2: {
        const length = varint();
        list.push(data.subarray(at, at + length));
        at += length;
        break;
      }
      case 5:
        list.push(data.readFloatLE(at));
        at += 4;
        break;
      default:
        assert.fail(`wire type ${key & 7}`);
    }
  }
  return found;
}
