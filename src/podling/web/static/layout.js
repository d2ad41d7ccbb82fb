// Where the parties of the graph stand. Owns the placing, pure: the same parties and calls always give the same picture.
// Callers stand left of those they call where that can be had; whoever calls in a ring shares a column with nobody.

const COLUMN = 320;
const ROW = 96;
const TOP = 60;
export const WIDTH = 180;
export const HEIGHT = 44;

/** Returns a Map of party → {x, y}, and the size of the whole picture. `edges` are {from, to}. */
export function place(parties, edges) {
  const column = columns(parties, edges);
  const places = new Map();
  const filled = [];
  const order = [...parties].sort((a, b) => column.get(a) - column.get(b) || (a < b ? -1 : 1));
  for (const party of order) {
    const at = column.get(party);
    filled[at] = (filled[at] ?? 0) + 1;
    // Every other column begins half a row lower, so that long edges pass between the boxes.
    const y = (filled[at] - 1) * ROW + TOP + (at % 2) * (ROW / 2);
    places.set(party, { x: at * COLUMN + 20, y });
  }
  const rows = Math.max(1, ...filled.map((count) => count ?? 0));
  return { places, width: Math.max(1, filled.length) * COLUMN, height: TOP + rows * ROW + ROW };
}

/** The longest way from a caller that nobody calls, rings cut where they close. */
function columns(parties, edges) {
  const called = new Map(parties.map((party) => [party, []]));
  for (const { from, to } of edges) if (from !== to) called.get(from).push(to);
  const column = new Map(parties.map((party) => [party, 0]));
  const forward = [];
  const state = new Map();
  for (const root of [...parties].sort()) {
    const stack = state.has(root) ? [] : [[root, 0]];
    if (stack.length) state.set(root, "open");
    while (stack.length) {
      const top = stack[stack.length - 1];
      const next = called.get(top[0])[top[1]++];
      if (next === undefined) {
        state.set(top[0], "done");
        stack.pop();
      } else if (state.get(next) !== "open") {
        forward.push([top[0], next]);
        if (!state.has(next)) {
          state.set(next, "open");
          stack.push([next, 0]);
        }
      }
    }
  }
  // Without the edges that close rings nothing is moved more often than there are parties.
  for (let moved = true, turns = 0; moved && turns <= parties.length; turns++) {
    moved = false;
    for (const [from, to] of forward) {
      if (column.get(to) <= column.get(from)) {
        column.set(to, column.get(from) + 1);
        moved = true;
      }
    }
  }
  return column;
}
