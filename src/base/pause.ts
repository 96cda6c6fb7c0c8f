/**
 * Lets signals, timers and messages be heard. Whatever computes on this thread needs it: promises alone never leave their queue.
 */
export async function pause(): Promise<void> {
  // Twice: a signal that comes in together with the first message is heard behind it.
  await message();
  await message();
}

function message(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.addEventListener('message', () => {
      port1.close();
      resolve();
    });
    port1.start();
    port2.postMessage(null);
  });
}
