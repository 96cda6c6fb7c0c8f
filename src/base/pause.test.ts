import { expect, it } from 'vitest';
import { pause } from './pause.ts';

it('a signal is heard within one pause, and so is a timer that was due', async () => {
  const heard: string[] = [];
  const listen = () => void heard.push('signal');
  process.on('SIGUSR2', listen);
  try {
    for (let round = 1; round <= 20; round++) {
      setTimeout(() => heard.push('timer'), 0);
      const start = performance.now();
      while (performance.now() - start < 2);
      process.kill(process.pid, 'SIGUSR2');
      await pause();
      expect(heard.sort(), `round ${round}`).toEqual(['signal', 'timer']);
      heard.length = 0;
    }
  } finally {
    process.off('SIGUSR2', listen);
  }
});
