// What the page uses of three.js. `three.min.js` beside this file is made of it by
//   npm install three@VERSION esbuild@VERSION
//   npx esbuild three_entry.js --bundle --minify --format=iife --global-name=THREE --outfile=three.min.js
// with the versions that three_LICENSE.txt begins with.
export {
  AnimationMixer, Box3, BufferAttribute, BufferGeometry, Color, DirectionalLight, Group,
  HemisphereLight, Mesh, MeshStandardMaterial, PerspectiveCamera, Scene, Vector3, WebGLRenderer,
} from "three";
export { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
