/** Lists the tasks of a model that keeps a folder for each. */
export const MULTI_TASK_CONFIG = 'multitask_config.json';
/** Of a CA-MTL model: its plan and its tasks. */
export const CA_MTL_CONFIG = 'ca_mtl_config.json';
