// JSON as text over several lines, with the member at a path highlighted.

import { bdi, make } from "/screens/dom.js";

// "$.items[0].item" as ["items", "0", "item"].
function members(path) {
  return [...path.matchAll(/\.([^.[\]]+)|\[(\d+)\]/g)].map(([, name, index]) => name ?? index);
}

// How much of a path is there.
function existing(value, wanted) {
  let at = 0;
  while (at < wanted.length && value !== null && typeof value === "object" && Object.hasOwn(value, wanted[at])) {
    value = value[wanted[at]];
    at += 1;
  }
  return wanted.slice(0, at);
}

export function jsonView(value, path) {
  const wanted = path ? members(path) : null;
  const there = wanted && existing(value, wanted);
  const code = make("code");
  const indent = (depth) => "  ".repeat(depth);

  function scalar(each) {
    return typeof each === "string" ? bdi(JSON.stringify(each)) : JSON.stringify(each);
  }

  function write(each, way, label, end) {
    const depth = way.length;
    const marked = there?.length && way.length === there.length && way.every((name, at) => name === there[at]);
    const open = each !== null && typeof each === "object";
    const start = [label, ...(open ? [Array.isArray(each) ? "[" : "{"] : [scalar(each)])];
    code.append(indent(depth), ...(marked ? [make("mark", {}, ...start)] : start));
    if (open) {
      const names = Object.keys(each);
      if (names.length) code.append("\n");
      names.forEach((name, at) => {
        const head = Array.isArray(each) ? [] : [bdi(JSON.stringify(name)), ": "];
        write(each[name], [...way, name], make("span", {}, ...head), at < names.length - 1 ? "," : "");
      });
      code.append(names.length ? indent(depth) : "", Array.isArray(each) ? "]" : "}");
    }
    code.append(`${end}\n`);
  }

  write(value, [], "", "");
  const view = make("pre", { tabIndex: 0 }, code);
  if (!wanted || there.length === wanted.length) return view;
  return make("div", {}, view, make("p", { className: "soft" }, "There is no ", make("code", {}, bdi(path)), " in it."));
}
