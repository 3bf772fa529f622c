/** @file Chromium without a window, driven over two pipes by the DevTools protocol. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome'];

/** The browser's program; null when this machine has none. */
export function findChromium(): string | null {
  const wanted = process.env.CHROMIUM ? [process.env.CHROMIUM] : PROGRAMS;
  return wanted.find((name) => spawnSync(name, ['--version']).status === 0) ?? null;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

interface Pending {
  readonly resolve: (result: Record<string, unknown>) => void;
  readonly reject: (error: Error) => void;
}

export class Browser {
  /** What the page logged, threw or asked the network for. */
  readonly complaints: string[] = [];
  readonly #process: ChildProcess;
  readonly #profile: string;
  readonly #pending = new Map<number, Pending>();
  #session: string | undefined;
  #count = 0;
  #rest = '';
  #loaded: (() => void) | undefined;

  private constructor(program: string) {
    this.#profile = mkdtempSync(join(tmpdir(), 'xbm-chromium-'));
    const flags = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--hide-scrollbars',
      `--user-data-dir=${this.#profile}`,
      '--remote-debugging-pipe',
      'about:blank',
    ];
    this.#process = spawn(program, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    (this.#process.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => this.#read(text));
    this.#process.on('exit', () => {
      for (const { reject } of this.#pending.values()) reject(new Error('the browser has ended'));
    });
  }

  static async start(program: string): Promise<Browser> {
    const browser = new Browser(program);
    const { targetInfos } = (await browser.send('Target.getTargets')) as {
      targetInfos: { type: string; targetId: string }[];
    };
    const { targetId } = targetInfos.find(({ type }) => type === 'page')!;
    const attached = await browser.send('Target.attachToTarget', { targetId, flatten: true });
    browser.#session = attached.sessionId as string;
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await browser.send(`${domain}.enable`);
    return browser;
  }

  send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#count;
    const message = { id, method, params, ...(this.#session && { sessionId: this.#session }) };
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      (this.#process.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    });
  }

  async open(url: string): Promise<void> {
    const loaded = new Promise<void>((resolve) => {
      this.#loaded = resolve;
    });
    await this.send('Page.navigate', { url });
    await loaded;
  }

  async resize(width: number, height: number): Promise<void> {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: false };
    await this.send('Emulation.setDeviceMetricsOverride', metrics);
  }

  async colourScheme(value: 'light' | 'dark'): Promise<void> {
    const features = [{ name: 'prefers-color-scheme', value }];
    await this.send('Emulation.setEmulatedMedia', { features });
  }

  /** The value of a JavaScript expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const options = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = (await this.send('Runtime.evaluate', options)) as {
      result: { value: T };
      exceptionDetails?: { text: string };
    };
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.text}`);
    return result.value;
  }

  async press(key: 'Tab' | ' ' | 'Enter'): Promise<void> {
    const code = { Tab: 9, ' ': 32, Enter: 13 }[key];
    const text = { Tab: undefined, ' ': ' ', Enter: '\r' }[key];
    const event = { key, code: key === ' ' ? 'Space' : key, windowsVirtualKeyCode: code, text };
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', ...event });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...event, text: undefined });
  }

  /** A PNG of the window, or of the whole page. */
  async screenshot(wholePage = false): Promise<Uint8Array> {
    const { data } = await this.send('Page.captureScreenshot', { captureBeyondViewport: wholePage });
    return Buffer.from(data as string, 'base64');
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#session = undefined;
    this.send('Browser.close').catch(() => {});
    await ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #read(text: string): void {
    const messages = (this.#rest + text).split('\0');
    this.#rest = messages.pop()!;
    for (const message of messages) this.#handle(JSON.parse(message));
  }

  #handle({ id, method, params, result, error }: Message): void {
    if (id !== undefined) {
      const pending = this.#pending.get(id);
      this.#pending.delete(id);
      if (error) pending?.reject(new Error(error.message));
      else pending?.resolve(result ?? {});
    } else if (method === 'Page.loadEventFired') {
      this.#loaded?.();
    } else if (method === 'Network.requestWillBeSent') {
      const { url } = params!.request as { url: string };
      if (/^(https?|wss?|ftp):/.test(url)) this.complaints.push(`request of ${url}`);
    } else if (
      method === 'Runtime.exceptionThrown' ||
      method === 'Log.entryAdded' ||
      method === 'Runtime.consoleAPICalled'
    ) {
      this.complaints.push(`${method}: ${JSON.stringify(params)}`);
    }
  }
}
