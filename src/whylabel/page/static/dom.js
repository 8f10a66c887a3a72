// Elements made from values. Values only ever become text or plain attributes, so no markup in them is read as such.

const PLAIN = /^(aria-[a-z]+|class|colspan|dir|download|for|hidden|href|id|lang|max|name|role|rows|scope|tabindex|title|type|value)$/;

/** Return an element; attributes that are null or false are left out. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (!PLAIN.test(name)) throw new Error(`${name} is no plain attribute`);
    made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Let something announce itself: screen readers read what a status holds when it changes. */
export function say(id, text) {
  byId(id).textContent = text;
}

/** Fill a select with [value, name] pairs, keeping what was chosen if it is still there. */
export function fill(select, pairs) {
  const chosen = select.value;
  select.replaceChildren(...pairs.map(([value, name]) => el("option", { value }, name)));
  if (pairs.some(([value]) => value === chosen)) select.value = chosen;
}
