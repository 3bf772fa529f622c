/** The fields of one line of a CSV file: commas apart, double quotes around fields that hold commas. */
export function splitCsvLine(line: string): string[] {
  const fields: string[] = [];
  let field = '';
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    if (quoted && line[i] === '"' && line[i + 1] === '"') field += line[i++];
    else if (line[i] === '"') quoted = !quoted;
    else if (line[i] === ',' && !quoted) {
      fields.push(field.trim());
      field = '';
    } else field += line[i];
  }
  return [...fields, field.trim()];
}
