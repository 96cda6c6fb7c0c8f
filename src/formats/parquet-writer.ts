import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import type { Files } from '../base/index.ts';

/** A column: texts, whole numbers, numbers or lists of float32. Only lists never have gaps. */
export interface ParquetColumn {
  readonly name: string;
  readonly holds: 'text' | 'integer' | 'number' | 'vector';
}

type Schema = ConstructorParameters<typeof ParquetWriter>[0]['schema'];

/**
 * Writes a Parquet file part by part, each a row group, so that what is written need not be in memory at once. Nothing but `finish` makes
 * it a file that can be read.
 */
export class ParquetFile {
  readonly #files: Files;
  readonly #path: string;
  readonly #columns: readonly ParquetColumn[];
  readonly #bytes = new ByteWriter();
  readonly #writer: ParquetWriter;

  constructor(files: Files, path: string, columns: readonly ParquetColumn[]) {
    this.#files = files;
    this.#path = path;
    this.#columns = columns;
    this.#writer = new ParquetWriter({ writer: this.#bytes, schema: schemaOf(columns), codec: 'UNCOMPRESSED' });
  }

  /** The values of each column, in the order of the columns; as many in each. */
  async write(values: readonly (readonly unknown[])[]): Promise<void> {
    const columnData = this.#columns.map(({ name, holds }, i) => {
      const data = values[i] as readonly unknown[];
      if (holds === 'vector')
        return { name, data: data.map((list) => Array.from(list as Float32Array)), encoding: 'PLAIN' as const, statistics: false };
      return {
        name,
        data: holds === 'integer' ? data.map((value) => (value === undefined ? undefined : BigInt(value as number))) : [...data],
      };
    });
    await this.#writer.write({ columnData, rowGroupSize: values[0]?.length ?? 0 });
    await this.#flush();
  }

  async finish(): Promise<void> {
    await this.#writer.finish();
    await this.#flush();
  }

  /** The writer goes on counting from the start of the file. */
  async #flush(): Promise<void> {
    await this.#files.append(this.#path, this.#bytes.getBytes().slice());
    this.#bytes.index = 0;
  }
}

function schemaOf(columns: readonly ParquetColumn[]): Schema {
  const types = { text: 'BYTE_ARRAY', integer: 'INT64', number: 'DOUBLE' } as const;
  return [
    { name: 'schema', num_children: columns.length },
    ...columns.flatMap(
      ({ name, holds }): Schema =>
        holds === 'vector'
          ? [
              { name, repetition_type: 'REQUIRED', num_children: 1, converted_type: 'LIST', logical_type: { type: 'LIST' } },
              { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
              { name: 'element', repetition_type: 'REQUIRED', type: 'FLOAT' },
            ]
          : [{ name, repetition_type: 'OPTIONAL', type: types[holds], ...(holds === 'text' && { converted_type: 'UTF8' as const }) }],
    ),
  ];
}
