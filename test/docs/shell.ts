/** @file Just enough of a shell's grammar for the examples of the documents. */

export interface ShellCommand {
  readonly words: readonly string[];
  readonly line: number;
}

/** The simple commands of a script, in order, without comments; what lies in parentheses stays one word. */
export function shellCommands(script: string, firstLine = 1): ShellCommand[] {
  const commands: ShellCommand[] = [];
  let words: string[] = [];
  let word = '';
  let quote = '';
  let depth = 0;
  let line = firstLine;
  let start = firstLine;
  const endWord = () => {
    if (word !== '' && words.length === 0) start = line;
    if (word !== '') words.push(word);
    word = '';
  };
  const endCommand = () => {
    endWord();
    if (words.length > 0) commands.push({ words, line: start });
    words = [];
  };
  for (let i = 0; i < script.length; i++) {
    const char = script[i];
    if (char === '\n') line++;
    if (quote !== '') {
      if (char === quote) quote = '';
      else word += char;
    } else if (char === '"' || char === "'") quote = char;
    else if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (depth > 0) word += char;
    else if (char === '\\' && script[i + 1] === '\n') {
      endWord();
      line++;
      i++;
    } else if (char === '#' && word === '') {
      while (i + 1 < script.length && script[i + 1] !== '\n') i++;
    } else if (char === '\n' || char === ';' || char === '|') endCommand();
    else if (script.startsWith('&&', i)) {
      endCommand();
      i++;
    } else if (char === ' ' || char === '\t') endWord();
    else word += char;
  }
  endCommand();
  if (quote !== '' || depth !== 0) throw new Error(`quotes or parentheses are left open: ${script}`);
  return commands;
}

/** Both forms of a command that shows something optional as `[--flag]`: without and with it. */
export function expandOptional(words: readonly string[]): string[][] {
  const isOptional = (word: string) => /^\[.*\]$/.test(word);
  if (!words.some(isOptional)) return [[...words]];
  return [
    words.filter((word) => !isOptional(word)),
    words.map((word) => (isOptional(word) ? word.slice(1, -1) : word)),
  ];
}
