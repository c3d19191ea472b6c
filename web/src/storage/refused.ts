/** A browser that keeps no data of this page refuses `localStorage`, too: the page's memory takes its place. */
type Items = Record<string, string>;

const memory = {
  getItem(this: Items, key: string): string | null {
    return Object.hasOwn(this, key) ? (this[key] ?? null) : null;
  },
  setItem(this: Items, key: string, value: string): void {
    this[key] = value;
  },
  removeItem(this: Items, key: string): void {
    delete this[key];
  },
};

try {
  void localStorage.length;
} catch {
  Object.defineProperty(globalThis, "localStorage", { value: Object.create(memory) });
}
