/** Lower-case letters, digits and dashes: for file names and anchors. Different texts may give the same. */
export function slug(text: string): string {
  const plain = text
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .toLowerCase()
    .replaceAll('×', 'x')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return plain === '' ? 'x' : plain;
}

/** A slug for each text, with a number where two would be the same. */
export function uniqueSlugs(texts: readonly string[]): Map<string, string> {
  const slugs = new Map<string, string>();
  const taken = new Set<string>();
  for (const text of new Set(texts)) {
    const wanted = slug(text);
    let found = wanted;
    for (let number = 2; taken.has(found); number++) found = `${wanted}-${number}`;
    taken.add(found);
    slugs.set(text, found);
  }
  return slugs;
}
