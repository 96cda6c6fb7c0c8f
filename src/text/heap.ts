/** A binary heap: `pop` gives the item that `precedes` all others. */
interface Heap<T> {
  push(item: T): void;
  pop(): T | undefined;
}

export function createHeap<T>(precedes: (a: T, b: T) => boolean): Heap<T> {
  const heap: T[] = [];
  return {
    push(item) {
      let at = heap.length;
      heap.push(item);
      while (at > 0) {
        const parent = (at - 1) >> 1;
        if (!precedes(item, heap[parent] as T)) break;
        heap[at] = heap[parent] as T;
        at = parent;
      }
      heap[at] = item;
    },
    pop() {
      const top = heap[0];
      const last = heap.pop();
      if (top === undefined || last === undefined || heap.length === 0) return top;
      let at = 0;
      for (;;) {
        let child = 2 * at + 1;
        if (child >= heap.length) break;
        if (child + 1 < heap.length && precedes(heap[child + 1] as T, heap[child] as T)) child++;
        if (!precedes(heap[child] as T, last)) break;
        heap[at] = heap[child] as T;
        at = child;
      }
      heap[at] = last;
      return top;
    },
  };
}
