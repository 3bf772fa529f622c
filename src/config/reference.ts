import { describeKeys } from './describe.js';

const introduction = `# The keys of an experiment

Written by \`scripts/config-reference.mjs\` from \`src/config/schema.ts\`. \`xbm config show\` prints an experiment with every key and
its meaning. Percentages are 0 to 100; a relative path starts at the file that says it, on the command line at the working folder.
`;

/** docs/config.md: every key with its default, its values and its meaning. */
export function configReference(): string {
  const rows = describeKeys().map(({ key, expected, about, whenNull, default: value }) => {
    const meaning = `${about}${whenNull === undefined ? '' : `; null: ${whenNull}`}`.replaceAll('<', '&lt;');
    return `| ${[`\`${key}\``, value === undefined ? 'none' : String(value), expected, meaning].join(' | ')} |`;
  });
  return `${[introduction, '| key | default | values | meaning |', '|---|---|---|---|', ...rows].join('\n')}\n`;
}
