// CSV: read whatever people have, write what spreadsheets read safely.

const TEXT_NAMES = ["text", "texts", "content", "sentence", "message", "review", "comment", "body", "tweet", "document"];
const DELIMITERS = [",", ";", "\t", "|"];
const ROWS_TRIED = 20;

// As in whylabel/text/spreadsheet.py: what a spreadsheet takes for a formula, and plain numbers, which are none.
const FORMULA = /^'*[=+\-@\t\r]/;
const NUMBER = /^[+-]?([0-9]+(\.[0-9]*|,[0-9]+)?|[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?|[.,][0-9]+)([eE][+-]?[0-9]+)?%?$/;

/** Return the text so that a spreadsheet does not read it as a formula. */
export const harmless = (text) => (FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text);

/** Return rows as CSV with a byte order mark, by which spreadsheets know UTF-8. */
export function written(columns, rows) {
  const lines = [columns, ...rows].map((row) => row.map((cell) => quoted(harmless(cell))).join(","));
  return `\ufeff${lines.join("\r\n")}\r\n`;
}

const quoted = (cell) => (/[",\r\n]/.test(cell) || cell === "" ? `"${cell.replaceAll('"', '""')}"` : cell);

/** Return bytes as text, and the encoding that they were read in: UTF-8, UTF-16 by its mark, else Windows-1252. */
export function decoded(bytes) {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return [new TextDecoder("utf-16le").decode(bytes), "UTF-16"];
  if (first === 0xfe && second === 0xff) return [new TextDecoder("utf-16be").decode(bytes), "UTF-16"];
  try {
    return [new TextDecoder("utf-8", { fatal: true }).decode(bytes), "UTF-8"];
  } catch {
    return [new TextDecoder("windows-1252").decode(bytes), "Windows-1252"];
  }
}

/** Return the rows of a text as {line, cells}, blank lines left out. An empty delimiter: each line is one cell. */
export function parsed(text, delimiter) {
  const whole = text.replace(/^\ufeff/, "");
  if (delimiter === "") {
    const lines = whole.split(/\r\n|\n|\r/).map((cell, at) => ({ line: at + 1, cells: [cell] }));
    return { rows: lines.filter(({ cells: [cell] }) => cell.trim() !== ""), unclosed: null };
  }
  const rows = [];
  let [cells, cell, line, began, at] = [[], "", 1, 1, 0];
  let unclosed = null;
  const endCell = () => {
    cells.push(cell);
    cell = "";
  };
  const endRow = () => {
    endCell();
    if (cells.length > 1 || cells[0].trim() !== "") rows.push({ line: began, cells });
    cells = [];
    began = line;
  };
  const special = delimiter === "|" ? /[|\r\n]/g : new RegExp(`[${delimiter}\r\n]`, "g");
  while (at < whole.length) {
    if (whole[at] === '"' && cell === "") {
      const opened = line;
      at += 1;
      for (;;) {
        const quote = whole.indexOf('"', at);
        const part = whole.slice(at, quote < 0 ? undefined : quote);
        cell += part;
        line += part.match(/\r\n|\n|\r/g)?.length ?? 0;
        at = quote < 0 ? whole.length : quote + 1;
        if (quote < 0) unclosed = opened;
        if (whole[at] !== '"' || quote < 0) break;
        cell += '"';
        at += 1;
      }
    }
    special.lastIndex = at;
    const next = special.exec(whole)?.index ?? whole.length;
    cell += whole.slice(at, next);
    at = next;
    if (at >= whole.length) break;
    if (whole[at] === delimiter) endCell();
    else {
      if (whole[at] === "\r" && whole[at + 1] === "\n") at += 1;
      line += 1;
      endRow();
    }
    at += 1;
  }
  if (cell !== "" || cells.length) endRow();
  return { rows, unclosed };
}

const isTextName = (name) => TEXT_NAMES.includes(name.trim().toLowerCase());

/** Return whether lines are sentences rather than rows: a blank follows each comma, and no cell names a column. */
function areSentences(rows, delimiter) {
  if (![",", ";"].includes(delimiter) || rows[0].cells.some(isTextName)) return false;
  return rows.every(({ cells }) => cells.slice(1).every((cell) => /^\s/.test(cell)));
}

/** Return the delimiter with which most of the first rows have as many cells as the first, more than one; else none. */
export function delimiterOf(text) {
  const head = text.slice(0, 100_000);
  let best = ["", 1];
  for (const delimiter of DELIMITERS) {
    const { rows } = parsed(head, delimiter);
    const first = (text.length > head.length ? rows.slice(0, -1) : rows).slice(0, ROWS_TRIED);
    const width = first[0]?.cells.length ?? 0;
    const alike = first.filter(({ cells }) => cells.length === width).length;
    // One line with a comma is a sentence, and no table.
    const isTable = width > best[1] && first.length > 1 && alike >= 0.75 * first.length;
    if (isTable && !areSentences(first, delimiter)) best = [delimiter, width];
  }
  // A file of one column in quotes has no delimiter, but quotes that are to be read.
  return best[0] || (/^\ufeff?"/.test(text) ? "," : "");
}

/** Return whether the first row looks like names: short and distinct; a single one may be a text as well as a name. */
export function hasHeader(rows) {
  const names = rows[0]?.cells.map((cell) => cell.trim()) ?? [];
  if (names.length === 1) return isTextName(names[0]);
  return new Set(names).size === names.length && names.every((name) => name.length > 0 && name.length <= 60);
}

/** Return the number of the column that most likely has the texts: by its name, else the one with the longest. */
export function textColumn(names, rows) {
  const named = names.findIndex(isTextName);
  if (named >= 0) return named;
  const length = (at) => rows.slice(0, 200).reduce((sum, { cells }) => sum + (cells[at]?.length ?? 0), 0);
  return names.reduce((best, _, at) => (length(at) > length(best) ? at : best), 0);
}

/** Return names of columns that are distinct and not among those of the predictions, whatever their case. */
export function freeNames(names, reserved) {
  const taken = new Set(reserved.map((name) => name.toLowerCase()));
  return names.map((name, at) => {
    let other = name || `column ${at + 1}`;
    while (taken.has(other.toLowerCase())) other = `input_${other}`;
    taken.add(other.toLowerCase());
    return other;
  });
}
